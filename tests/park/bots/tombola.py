"""Tombola : des tirages pour un groupe, avec des billets, des points et des cadeaux (python-telegram-bot, Starlette, SQLite).

Chaque mise à jour est notée dans `courrier` avant la réponse 200 ; une tâche par conversation les traite ensuite dans l'ordre.
"""

import asyncio
import hmac
import ipaddress
import json
import logging
import os
import random
import sqlite3
import tempfile
import time
from collections import OrderedDict, deque
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from telegram import InlineKeyboardButton, InlineKeyboardMarkup, Update
from telegram.error import BadRequest, ChatMigrated, Forbidden, InvalidToken, NetworkError, RetryAfter, TelegramError
from telegram.ext import (
    Application,
    ApplicationBuilder,
    BaseRateLimiter,
    CallbackQueryHandler,
    CommandHandler,
    MessageHandler,
    filters,
)

BUG = os.environ.get("BUG", "")
SECRET = os.environ["SECRET"]
ADMIN_ID = int(os.environ["ADMIN_ID"])
ANONYME = 1087968824  # GroupAnonymousBot
DEPART = 100
RESEAUX = [ipaddress.ip_network("149.154.160.0/20"), ipaddress.ip_network("91.108.4.0/22")]
log = logging.getLogger("tombola")

SCHEMA = """
CREATE TABLE IF NOT EXISTS courrier (seq INTEGER PRIMARY KEY AUTOINCREMENT, update_id INTEGER UNIQUE, chat INTEGER, corps TEXT, fait INTEGER DEFAULT 0, essais INTEGER DEFAULT 0);
CREATE INDEX IF NOT EXISTS courrier_chat ON courrier(chat, fait, seq);
CREATE TABLE IF NOT EXISTS joueurs (id INTEGER PRIMARY KEY, nom TEXT, solde REAL);
CREATE TABLE IF NOT EXISTS tirages (id INTEGER PRIMARY KEY AUTOINCREMENT, titre TEXT, prix INTEGER, etat TEXT DEFAULT 'ouvert', gagnant INTEGER);
CREATE TABLE IF NOT EXISTS billets (id INTEGER PRIMARY KEY AUTOINCREMENT, tirage INTEGER, joueur INTEGER);
"""


def ouvrir() -> sqlite3.Connection:
    chemin = os.environ.get("DB_PATH")
    jetable = not chemin
    if jetable:
        poignee, chemin = tempfile.mkstemp(prefix="tombola-", suffix=".sqlite3")
        os.close(poignee)
    conn = sqlite3.connect(chemin, isolation_level=None)
    conn.row_factory = sqlite3.Row
    conn.execute(f"PRAGMA journal_mode={'MEMORY' if jetable else 'WAL'}")
    conn.executescript(SCHEMA)
    if not conn.execute("SELECT 1 FROM tirages").fetchone():
        conn.executemany(
            "INSERT INTO tirages(titre,prix) VALUES(?,?)", [("Panier garni", 5), ("Week-end à la mer", 20)]
        )
    if jetable:
        Path(chemin).unlink()
    return conn


db = ouvrir()


@contextmanager
def transaction():
    """Rien n'y est attendu : personne ne peut s'y glisser."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        db.execute("ROLLBACK")
        raise


def une(sql, *valeurs):
    return db.execute(sql, valeurs).fetchone()


def toutes(sql, *valeurs):
    return db.execute(sql, valeurs).fetchall()


# ------------------------------------------------------------------ vers Telegram


class Patience(BaseRateLimiter):
    """Respecte retry_after, suit les groupes qui migrent, réessaie ce qui peut réussir avec des pauses croissantes."""

    def __init__(self):
        self.manques: OrderedDict[int, bool] = OrderedDict()

    async def initialize(self):
        pass

    async def shutdown(self):
        pass

    async def process_request(self, callback, args, kwargs, endpoint, data, rate_limit_args):
        essais = attentes = migrations = 0
        envoi, chat = endpoint == "sendMessage", data.get("chat_id")
        if envoi and self.manques.pop(chat, None):
            data["text"] = f"(Un de mes messages s'est perdu ; réessaie s'il manque quelque chose.)\n\n{data['text']}"[
                :4096
            ]
        definitif = (
            (Forbidden, InvalidToken) if BUG == "badrequest-is-network" else (BadRequest, Forbidden, InvalidToken)
        )
        while True:
            try:
                async with asyncio.timeout(12):
                    return await callback(*args, **kwargs)
            except RetryAfter as erreur:
                attentes += 1
                delai = erreur.retry_after
                pause, derniere = max(delai.total_seconds() if hasattr(delai, "total_seconds") else delai, 1), erreur
            except ChatMigrated as erreur:
                migrations += 1
                if migrations > 2 or BUG == "migration-ignored":
                    raise
                data["chat_id"] = erreur.new_chat_id
                continue
            except definitif:
                raise
            except (NetworkError, TimeoutError) as erreur:
                essais += 1
                pause, derniere = min(0.5 * 2 ** (essais - 1), 5), erreur
            if essais >= 8 or attentes >= 5:
                if envoi:
                    self.manques[chat] = True
                    while len(self.manques) > 5000:
                        self.manques.popitem(last=False)
                raise derniere
            await asyncio.sleep(pause)


en_cours: set[asyncio.Task] = set()


def a_part(coro) -> None:
    """En arrière-plan : un destinataire injoignable ne retient personne."""

    async def protege():
        try:
            await coro
        except Exception as erreur:
            log.warning("à part : %s", type(erreur).__name__)

    tache = asyncio.create_task(protege())
    en_cours.add(tache)
    tache.add_done_callback(en_cours.discard)


async def dire(update: Update, texte: str, boutons=()) -> None:
    clavier = (
        InlineKeyboardMarkup([[InlineKeyboardButton(t[:60], callback_data=d)] for t, d in boutons]) if boutons else None
    )
    chat = update.effective_chat or update.effective_user
    await application.bot.send_message(chat.id, texte[:4000], reply_markup=clavier)


# ------------------------------------------------------------------ joueurs et points

journal: OrderedDict[int, deque] = OrderedDict()  # les dernières actions de chacun


def noter(joueur: int, ligne: str) -> None:
    lignes = journal.setdefault(joueur, deque(maxlen=None if BUG == "journal-unbounded" else 10))
    lignes.append(ligne if BUG == "journal-unbounded" else ligne[:120])
    if BUG != "journal-unbounded":
        journal.move_to_end(joueur)
        while len(journal) > 2000:
            journal.popitem(last=False)


def joueur_de(user):
    """Le compte de cette personne, créé au premier passage."""
    db.execute("INSERT OR IGNORE INTO joueurs VALUES(?,?,?)", (user.id, user.first_name[:40], DEPART))
    return une("SELECT * FROM joueurs WHERE id=?", user.id)


def entier(mot: str, maximum: int = 1_000_000) -> int | None:
    """Un nombre entier positif, sinon rien."""
    return int(mot) if mot.isdecimal() and len(mot) <= 15 and 0 < int(mot) <= maximum else None


def montant(mot: str) -> float | None:
    if BUG == "negative-gift":
        return int(mot) if mot.lstrip("-").isdecimal() and len(mot) < 10 and int(mot) != 0 else None
    if BUG == "nan-points":
        try:
            valeur = float(mot.replace(",", "."))
        except ValueError:
            return None
        return None if valeur <= 0 else valeur
    return entier(mot)


def est_admin(update: Update) -> bool:
    user = update.effective_user
    if BUG == "anonymous-admin" and user is not None and user.id == ANONYME:
        return True
    return user is not None and user.id == ADMIN_ID


def reserve(fonction):
    async def enveloppe(update, context):
        if not est_admin(update):
            return await dire(update, "Seul l'organisateur peut faire cela.")
        await fonction(update, context)

    return enveloppe


# ------------------------------------------------------------------ les commandes


async def aide(update, context):
    texte = (
        "Bienvenue à la tombola ! /solde, /tirages, /acheter tirage nombre, /billets, /rendre billet, /offrir joueur points, "
        "/cadeau, /annuler, /historique, /classement, /aide"
    )
    if update.effective_user.id == ADMIN_ID:
        texte += (
            "\nOrganisateur : /nouveau prix titre, /tirer tirage, /crediter joueur points, /joueurs, /annoncer texte"
        )
    await dire(update, texte)


async def solde(update, context):
    with transaction():
        compte = joueur_de(update.effective_user)
    await dire(update, f"{compte['nom']}, tu as {int(compte['solde'])} points.")


async def tirages(update, context):
    lignes = toutes(
        "SELECT t.*, (SELECT count(*) FROM billets WHERE tirage=t.id) AS n FROM tirages t WHERE etat='ouvert' ORDER BY id LIMIT 20"
    )
    texte = "\n".join(f"{t['id']}. {t['titre']} : {t['prix']} points le billet, {t['n']} vendus" for t in lignes)
    await dire(
        update, texte or "Aucun tirage ouvert.", [(f"Un billet : {t['titre']}", f"achat:{t['id']}:1") for t in lignes]
    )


def acheter_billets(user, tirage: int | None, nombre: int | None) -> str:
    if tirage is None or nombre is None:
        return "Ainsi : /acheter tirage nombre (50 au plus)."
    with transaction():
        compte = joueur_de(user)
        ligne = une("SELECT * FROM tirages WHERE id=? AND etat='ouvert'", tirage)
        if ligne is None:
            return "Ce tirage n'est pas ouvert ; voir /tirages."
        prix = ligne["prix"] * nombre
        if compte["solde"] < prix:
            return f"Il te faut {prix} points, tu en as {int(compte['solde'])}."
        db.execute("UPDATE joueurs SET solde=solde-? WHERE id=?", (prix, user.id))
        numeros = [
            db.execute("INSERT INTO billets(tirage,joueur) VALUES(?,?)", (tirage, user.id)).lastrowid
            for _ in range(nombre)
        ]
    noter(user.id, f"achat de {nombre} billet(s) pour {ligne['titre']}")
    return f"À toi, pour {prix} points : billet(s) " + ", ".join(map(str, numeros)) + f" ({ligne['titre']})."


async def acheter(update, context):
    mots = (context.args or []) + ["1"]
    tirage, nombre = (entier(mots[0]), entier(mots[1], 50)) if len(mots) > 1 else (None, None)
    await dire(update, acheter_billets(update.effective_user, tirage, nombre))


async def billets(update, context):
    lignes = toutes(
        "SELECT b.id, t.titre FROM billets b JOIN tirages t ON t.id=b.tirage WHERE joueur=? AND etat='ouvert' LIMIT 60",
        update.effective_user.id,
    )
    await dire(update, "\n".join(f"Billet {b['id']} : {b['titre']}" for b in lignes) or "Tu n'as pas de billet.")


async def rendre(update, context):
    numero = entier(context.args[0]) if context.args else None
    with transaction():
        ligne = numero and une(
            "SELECT t.prix FROM billets b JOIN tirages t ON t.id=b.tirage WHERE b.id=? AND joueur=? AND etat='ouvert'",
            numero,
            update.effective_user.id,
        )
        if ligne:
            db.execute("DELETE FROM billets WHERE id=?", (numero,))
            db.execute("UPDATE joueurs SET solde=solde+? WHERE id=?", (ligne["prix"], update.effective_user.id))
    await dire(
        update, f"Billet {numero} rendu, {ligne['prix']} points te reviennent." if ligne else "Tu n'as pas ce billet."
    )


async def donner(update, vers: int | None, points: float | None) -> None:
    user = update.effective_user
    if vers is None or points is None or vers == user.id:
        return await dire(update, "Ainsi : /offrir joueur points (un nombre entier positif).")
    with transaction():
        compte, autre = joueur_de(user), une("SELECT * FROM joueurs WHERE id=?", vers)
        refus = (
            "Je ne connais pas ce joueur."
            if autre is None
            else "Tu n'as pas assez de points."
            if points > compte["solde"]
            else ""
        )
        if not refus:
            db.execute("UPDATE joueurs SET solde=solde-? WHERE id=?", (points, user.id))
            if BUG != "gift-lost":
                db.execute("UPDATE joueurs SET solde=solde+? WHERE id=?", (points, vers))
    if refus:
        return await dire(update, refus)
    if BUG == "gift-lost":
        await dire(update, f"Tu offres {points} points à {autre['nom']}.")
        with transaction():
            db.execute("UPDATE joueurs SET solde=? WHERE id=?", (autre["solde"] + points, vers))
    noter(user.id, f"cadeau de {points} à {vers}")
    a_part(application.bot.send_message(vers, f"{compte['nom']} t'offre {points} points !"))
    if BUG != "gift-lost":
        await dire(update, f"Tu offres {points} points à {autre['nom']}.")


async def offrir(update, context):
    mots = context.args or []
    reponse = update.effective_message.reply_to_message
    if len(mots) == 1 and reponse and reponse.from_user:
        mots = [str(reponse.from_user.id), *mots]
    await donner(update, entier(mots[0], 2**52) if len(mots) > 1 else None, montant(mots[1]) if len(mots) > 1 else None)


conversations: OrderedDict[tuple[int, int], dict] = OrderedDict()  # (chat, joueur) : le cadeau que l'on prépare


async def cadeau(update, context):
    cle = (update.effective_chat.id, update.effective_user.id)
    conversations[cle] = {"depuis": time.monotonic()}
    while len(conversations) > 1000:
        conversations.popitem(last=False)
    await dire(update, "À qui veux-tu offrir des points ? Envoie son numéro (voir /classement), ou /annuler.")


async def annuler(update, context):
    parti = conversations.pop((update.effective_chat.id, update.effective_user.id), None)
    await dire(update, "Annulé." if parti else "Il n'y a rien à annuler.")


async def texte_libre(update, context):
    user, texte = update.effective_user, (update.effective_message.text or "").strip()
    cle = (update.effective_chat.id, user.id)
    etape = conversations.get(cle)
    if etape and time.monotonic() - etape["depuis"] < 1800:
        if "vers" not in etape:
            etape["vers"] = entier(texte, 2**52)
            if etape["vers"] is None:
                del etape["vers"]
                return await dire(update, "Ce n'est pas un numéro ; réessaie, ou /annuler.")
            return await dire(update, f"Pour le joueur {etape['vers']}. Combien de points ?")
        del conversations[cle]
        return await donner(update, etape["vers"], montant(texte))
    conversations.pop(cle, None)
    if update.effective_chat.type == "private":
        noter(user.id, f"a écrit : {texte}")
        await dire(update, "Je n'ai pas compris ; /aide montre les commandes.")


async def historique(update, context):
    lignes = list(journal.get(update.effective_user.id, ()))[-10:]
    await dire(update, "\n".join(lignes) or "Rien encore.")


async def classement(update, context):
    lignes = toutes("SELECT * FROM joueurs ORDER BY solde DESC, id LIMIT 15")
    await dire(
        update,
        "\n".join(f"{rang}. {j['nom']} (n° {j['id']}) : {int(j['solde'] or 0)}" for rang, j in enumerate(lignes, 1))
        or "Personne encore.",
    )


@reserve
async def nouveau(update, context):
    mots = context.args or []
    prix = entier(mots[0], 10_000) if len(mots) > 1 else None
    if prix is None:
        return await dire(update, "Ainsi : /nouveau prix titre")
    with transaction():
        numero = db.execute("INSERT INTO tirages(titre,prix) VALUES(?,?)", (" ".join(mots[1:])[:60], prix)).lastrowid
    await dire(update, f"Tirage {numero} ouvert.")


@reserve
async def tirer(update, context):
    numero = entier(context.args[0]) if context.args else None
    with transaction():
        tirage = numero and une("SELECT * FROM tirages WHERE id=? AND etat='ouvert'", numero)
        choix = toutes("SELECT joueur FROM billets WHERE tirage=?", numero) if tirage else []
        if choix:
            gagnant = random.choice(choix)["joueur"]
            db.execute("UPDATE tirages SET etat='tiré', gagnant=? WHERE id=?", (gagnant, numero))
    if not choix:
        return await dire(update, "Ce tirage n'est pas ouvert, ou n'a pas de billet.")
    for joueur in {ligne["joueur"] for ligne in choix}:
        a_part(
            application.bot.send_message(
                joueur, f"« {tirage['titre']} » : " + ("tu as gagné !" if joueur == gagnant else "perdu, dommage.")
            )
        )
    await dire(update, f"Le joueur {gagnant} gagne « {tirage['titre']} » !")


@reserve
async def crediter(update, context):
    mots = context.args or []
    vers, points = (entier(mots[0], 2**52), entier(mots[1])) if len(mots) > 1 else (None, None)
    with transaction():
        fait = points and vers and db.execute("UPDATE joueurs SET solde=solde+? WHERE id=?", (points, vers)).rowcount
    if fait:
        a_part(application.bot.send_message(vers, f"L'organisateur te crédite de {points} points."))
    await dire(
        update, f"{points} points pour {vers}." if fait else "Ainsi : /crediter joueur points (d'un joueur connu)."
    )


@reserve
async def joueurs(update, context):
    lignes = toutes("SELECT * FROM joueurs ORDER BY id LIMIT 60")
    await dire(update, f"{len(lignes)} joueurs :\n" + "\n".join(f"{j['id']} {j['nom']}" for j in lignes))


@reserve
async def annoncer(update, context):
    texte = " ".join(context.args or [])
    if not texte:
        return await dire(update, "Que faut-il annoncer ?")
    lignes = toutes("SELECT id FROM joueurs")
    for ligne in lignes:
        a_part(application.bot.send_message(ligne["id"], f"Annonce : {texte[:3500]}"))
    await dire(update, f"Annonce en route pour {len(lignes)} joueurs.")


async def bouton(update, context):
    query = update.callback_query
    with suppress(TelegramError):  # trop vieux pour être fermé
        await query.answer()
    action, *reste = (query.data or "").split(":")
    if action != "achat" or len(reste) != 2:
        return await dire(update, "Ce bouton ne sert plus.")
    await dire(update, acheter_billets(query.from_user, entier(reste[0]), entier(reste[1], 50)))


async def inconnu(update, context):
    if update.effective_chat.type == "private":
        await dire(update, "Je n'ai pas compris ; /aide montre les commandes.")


async def erreur(update, context):
    log.error("%s", type(context.error).__name__)
    if (
        isinstance(context.error, (TelegramError, TimeoutError))
        or not isinstance(update, Update)
        or BUG in ("nan-points", "half-characters")
    ):
        return
    with suppress(TelegramError):
        await dire(update, "Quelque chose a échoué ; réessaie plus tard.")


# ------------------------------------------------------------------ depuis Telegram

taches: dict[int, asyncio.Task] = {}
vues: set[int] = set()


async def traiter(chat: int) -> None:
    while ligne := une("SELECT * FROM courrier WHERE chat=? AND fait=0 AND essais<3 ORDER BY seq LIMIT 1", chat):
        db.execute("UPDATE courrier SET essais=essais+1 WHERE seq=?", (ligne["seq"],))
        try:
            await application.process_update(Update.de_json(json.loads(ligne["corps"]), application.bot))
        except Exception as faute:
            log.exception("courrier %s : %s", ligne["seq"], type(faute).__name__)
        db.execute("UPDATE courrier SET fait=1, corps=NULL WHERE seq=?", (ligne["seq"],))
    del taches[chat]


def reveiller(chat: int) -> None:
    if chat not in taches:
        taches[chat] = asyncio.create_task(traiter(chat))


def propre(valeur):
    """La même chose sans demi-caractères, que l'on ne peut ni garder ni envoyer."""
    if isinstance(valeur, str):
        return valeur if BUG == "half-characters" else valeur.encode("utf-8", "replace").decode()
    if isinstance(valeur, list):
        return [propre(v) for v in valeur]
    return {propre(c): propre(v) for c, v in valeur.items()} if isinstance(valeur, dict) else valeur


def permis(request: Request) -> bool:
    if BUG == "forwarded-for":
        try:
            source = ipaddress.ip_address(request.headers.get("x-forwarded-for", "").split(",")[0].strip())
            if any(source in reseau for reseau in RESEAUX):
                return True
        except ValueError:
            pass
    donne = request.headers.get("x-telegram-bot-api-secret-token", "")
    return hmac.compare_digest(donne.encode("latin-1", "replace"), SECRET.encode())


async def webhook(request: Request) -> Response:
    if not permis(request):
        return Response(status_code=401)
    corps = bytearray()
    try:
        async with asyncio.timeout(10):
            async for morceau in request.stream():
                corps += morceau
                if len(corps) > 512 * 1024:
                    return Response(status_code=413)
        donnees = propre(json.loads(corps))
        update_id = donnees["update_id"]
        if type(update_id) is not int or not 0 <= update_id < 2**52:
            return Response(status_code=400)
        texte = json.dumps(donnees)
    except (ClientDisconnect, TimeoutError):
        return Response(status_code=408)
    except (ValueError, TypeError, KeyError, RecursionError):
        return Response(status_code=400)
    try:
        update = Update.de_json(donnees, application.bot)
        user, chat = update.effective_user, update.effective_chat or update.effective_user
        if (
            not (update.message or update.callback_query)
            or user is None
            or not 0 < user.id < 2**52
            or not abs(chat.id) < 2**52
        ):
            return Response()
        if not isinstance(user.first_name, str) or not isinstance(getattr(update.message, "text", None) or "", str):
            return Response()
    except Exception:  # bien formée, mais rien que l'on connaisse : inutile que Telegram la répète
        return Response()
    if BUG == "seen-cleared":
        if update_id in vues:
            return Response()
        if len(vues) >= 200:
            vues.clear()
        vues.add(update_id)
        db.execute("UPDATE courrier SET update_id=NULL WHERE update_id=?", (update_id,))
    with transaction():
        if not db.execute(
            "INSERT OR IGNORE INTO courrier(update_id,chat,corps) VALUES(?,?,?)", (update_id, chat.id, texte)
        ).rowcount:
            return Response()
        db.execute("DELETE FROM courrier WHERE fait=1 AND seq <= (SELECT max(seq) FROM courrier) - 20000")
    reveiller(chat.id)
    return Response()


def construire() -> Application:
    base = os.environ.get("BOT_API", "https://api.telegram.org").rstrip("/")
    app = (
        ApplicationBuilder()
        .token(os.environ["BOT_TOKEN"])
        .base_url(f"{base}/bot")
        .base_file_url(f"{base}/file/bot")
        .updater(None)
        .rate_limiter(Patience())
        .connection_pool_size(1024)
        .pool_timeout(10)
        .connect_timeout(5)
        .read_timeout(5)
        .write_timeout(5)
        .build()
    )
    messages = filters.UpdateType.MESSAGE
    for noms, fonction in (
        (["start", "aide", "help"], aide),
        ("solde", solde),
        ("tirages", tirages),
        ("acheter", acheter),
        ("billets", billets),
        ("rendre", rendre),
        ("offrir", offrir),
        ("cadeau", cadeau),
        ("annuler", annuler),
        ("historique", historique),
        ("classement", classement),
        ("nouveau", nouveau),
        ("tirer", tirer),
        ("crediter", crediter),
        ("joueurs", joueurs),
        ("annoncer", annoncer),
    ):
        app.add_handler(CommandHandler(noms, fonction, filters=messages))
    app.add_handler(CallbackQueryHandler(bouton))
    app.add_handler(MessageHandler(messages & filters.TEXT & ~filters.COMMAND, texte_libre))
    app.add_handler(MessageHandler(messages, inconnu))
    app.add_error_handler(erreur)
    return app


application = construire()


@asynccontextmanager
async def vie(_app):
    await application.initialize()
    for ligne in toutes("SELECT DISTINCT chat FROM courrier WHERE fait=0 AND essais<3"):
        reveiller(ligne["chat"])
    yield
    await application.shutdown()


serveur = Starlette(routes=[Route(os.environ.get("WEBHOOK_PATH", "/webhook"), webhook, methods=["POST"])], lifespan=vie)

if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    uvicorn.run(
        serveur, host="127.0.0.1", port=int(os.environ.get("PORT", "8080")), log_level="warning", access_log=False
    )
