"""Le bot d'un potager partagé : parcelles, tour d'arrosage et grainothèque, avec python-telegram-bot et Starlette.

Style : ConversationHandler et CallbackQueryHandler, un webhook à part, une file par conversation, un BaseRateLimiter patient.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import os
import re
import secrets
import warnings
import weakref
from collections import OrderedDict, deque
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from telegram import InlineKeyboardButton, InlineKeyboardMarkup, Message, ReplyKeyboardMarkup, Update
from telegram.error import BadRequest, ChatMigrated, Conflict, Forbidden, InvalidToken, RetryAfter, TelegramError
from telegram.ext import (
    Application,
    BaseRateLimiter,
    CallbackQueryHandler,
    CommandHandler,
    ContextTypes,
    ConversationHandler,
    MessageHandler,
    filters,
)
from telegram.request import HTTPXRequest
from telegram.warnings import PTBUserWarning

PORT = int(os.environ.get("PORT", "8080"))
CHEMIN = os.environ.get("WEBHOOK_PATH", "/webhook")
SECRET = os.environ.get("SECRET", "")
JETON = os.environ.get("BOT_TOKEN", "")
API = os.environ.get("BOT_API", "https://api.telegram.org").rstrip("/")
ADMIN = int(os.environ.get("ADMIN_ID", "0"))
BUG = os.environ.get("BUG", "")

CORPS_MAX = 1 << 20
FILE_MAX = 200
GRAINES_MAX = 1000
PAUSES = (0.5, 1, 2, 4, 8, 15)
ROLES = {"visiteur": 0, "jardinier": 1, "referent": 2, "admin": 3}
JOURS = ("lun.", "mar.", "mer.", "jeu.", "ven.", "sam.", "dim.")
CHOIX_PARCELLE, MOTIF, ACCORD = range(3)
VARIETE, QUANTITE = range(10, 12)

warnings.filterwarnings("ignore", category=PTBUserWarning)
logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s %(message)s")
journal = logging.getLogger("potager")

Contexte = ContextTypes.DEFAULT_TYPE


class Borne(OrderedDict):
    """Un dictionnaire qui oublie le plus ancien."""

    def __init__(self, limite: int) -> None:
        super().__init__()
        self.limite = limite

    def __setitem__(self, cle: object, valeur: object) -> None:
        super().__setitem__(cle, valeur)
        self.move_to_end(cle)
        if len(self) > self.limite:
            self.popitem(last=False)


def propre(texte: str, longueur: int = 80) -> str:
    """Un texte d'utilisateur sans caractères de contrôle ni moitiés de caractères."""
    return re.sub(r"[\x00-\x1f\x7f\ud800-\udfff]+", " ", texte).strip()[:longueur]


# --- Ce que le potager sait ---

parcelles: dict[str, int] = {f"{rang}{n}": 0 for rang in "ABC" for n in range(1, 5)}
roles: Borne = Borne(2000)
noms: Borne = Borne(5000)
demandes: Borne = Borne(300)  # numéro -> (qui, parcelle, motif)
graines: Borne = Borne(GRAINES_MAX)  # numéro -> {de, variete, reste}
trocs: Borne = Borne(500)  # numéro -> (qui, ce que l'un donne, ce qu'il veut)
arrosage: Borne = Borne(30)  # jour -> qui
litres: Borne = Borne(5000)
invitations: Borne = Borne(300)  # code -> rôle
groupes: Borne = Borne(200)
compteur = {"demande": 0, "graine": 0, "troc": 0}


def numero(quoi: str) -> int:
    """Le prochain numéro."""
    compteur[quoi] += 1
    return compteur[quoi]


def role_de(qui: int) -> str:
    """Le rôle d'une personne."""
    if qui == ADMIN:
        return "admin"
    return roles.get(qui, "visiteur")


def peut(qui: int, role: str) -> bool:
    """Si une personne a au moins ce rôle."""
    return ROLES[role_de(qui)] >= ROLES[role]


def nom(qui: int) -> str:
    """Comment on appelle une personne."""
    return noms.get(qui, f"n° {qui}")


def entier(texte: str) -> int | None:
    """Le nombre écrit en chiffres ordinaires."""
    return int(texte) if re.fullmatch(r"[0-9]{1,6}", texte) else None


# --- L'API Bot ---


class Patience(BaseRateLimiter[int]):
    """Un appel à la fois par conversation ; attend, réessaie et suit les groupes qui déménagent."""

    def __init__(self) -> None:
        self.verrous: weakref.WeakValueDictionary[object, asyncio.Lock] = weakref.WeakValueDictionary()
        self.demenages: Borne = Borne(1000)

    async def initialize(self) -> None:
        """Rien à préparer."""

    async def shutdown(self) -> None:
        """Rien à fermer."""

    async def process_request(self, callback, args, kwargs, endpoint, data, rate_limit_args):
        """Un appel, aussi souvent qu'il le faut et pas plus."""
        chat = data.get("chat_id")
        if chat is None:
            pauses = PAUSES if endpoint == "getMe" else PAUSES[:1]
            return await self._insister(callback, args, kwargs, data, pauses)
        verrou = self.verrous.get(chat)
        if verrou is None:
            verrou = self.verrous[chat] = asyncio.Lock()
        async with verrou:
            return await self._insister(callback, args, kwargs, data, PAUSES)

    async def _insister(self, callback, args, kwargs, data, pauses):
        essais = attentes = 0
        while True:
            chat = data.get("chat_id")
            if chat in self.demenages:
                data["chat_id"] = chat = self.demenages[chat]
            try:
                return await callback(*args, **kwargs)
            except RetryAfter as erreur:
                duree = erreur.retry_after
                secondes = duree.total_seconds() if isinstance(duree, timedelta) else float(duree)
                attentes += 1
                if attentes > 5 or secondes > 3600:
                    raise
                await asyncio.sleep(0.5 if BUG == "attente-fixe" else secondes + 0.1)
            except ChatMigrated as erreur:
                attentes += 1
                if attentes > 5:
                    raise
                self.demenages[chat] = erreur.new_chat_id
            except (Forbidden, BadRequest, InvalidToken, Conflict):
                raise
            except TelegramError:
                if essais >= len(pauses):
                    raise
                await asyncio.sleep(pauses[essais])
                essais += 1


requetes = HTTPXRequest(
    connection_pool_size=1 if BUG == "un-seul-canal" else 300,  # un appel à la fois par conversation
    read_timeout=8,
    write_timeout=8,
    connect_timeout=5,
    pool_timeout=120 if BUG == "un-seul-canal" else 10,
)
application = (
    Application.builder()
    .token(JETON)
    .base_url(f"{API}/bot")
    .request(requetes)
    .rate_limiter(Patience())
    .updater(None)
    .job_queue(None)
    .build()
)
taches: set[asyncio.Task] = set()


def lancer(suite) -> None:
    """Fait quelque chose que personne n'attend."""
    if len(taches) >= 5000:
        suite.close()
        journal.warning("trop de tâches en cours")
        return
    tache = asyncio.create_task(suite)
    taches.add(tache)
    tache.add_done_callback(taches.discard)


def prevenir(chat: int, texte: str, boutons: InlineKeyboardMarkup | None = None, apres: float = 0) -> None:
    """Écrit à quelqu'un d'autre, sans faire attendre celui qui parle."""

    async def envoi() -> None:
        await asyncio.sleep(apres)
        try:
            await application.bot.send_message(chat, texte, reply_markup=boutons)
        except TelegramError as erreur:
            journal.warning("%s n'est pas prévenu : %s", chat, erreur)

    lancer(envoi())


async def repondre(update: Update, texte: str, boutons: object = None) -> None:
    """Répond à un message, ou remplace celui sous lequel on a appuyé."""
    requete = update.callback_query
    if requete is None:
        await application.bot.send_message(update.effective_chat.id, texte, reply_markup=boutons)
        return
    with suppress(TelegramError):
        await requete.answer()
    if isinstance(requete.message, Message):
        try:
            await requete.edit_message_text(texte, reply_markup=boutons)
            return
        except BadRequest as erreur:
            if "not modified" in str(erreur).lower():
                return
    chat = requete.message.chat.id if requete.message else requete.from_user.id
    await application.bot.send_message(chat, texte, reply_markup=boutons)


def clavier(*rangees: list[tuple[str, str]]) -> InlineKeyboardMarkup:
    """Des boutons sous un message."""
    return InlineKeyboardMarkup([[InlineKeyboardButton(t, callback_data=d) for t, d in rangee] for rangee in rangees])


# --- Accueil ---

AIDE = """Bienvenue au potager des Lilas !
/parcelles - les parcelles et qui les cultive
/demande - demander une parcelle
/jardin - ma parcelle, mon rôle, mes graines
/rendre - rendre ma parcelle
/arrosage - le tour d'arrosage de la semaine
/arrosoir - noter l'eau versée
/graine variété xN - offrir des sachets de graines
/grainotheque - les graines offertes
/prendre N - prendre un sachet
/troc N M - proposer ma graine M contre la graine N
/retirer N - retirer une graine
/stop - abandonner ce qui est commencé
Référents :
/demandes - les demandes en attente
/annonce texte - écrire à tout le monde
/abonner - ce groupe reçoit les annonces
/inviter jardinier|referent - un lien d'invitation (referent : admin)
Admin :
/membres - qui a quel rôle"""
MENU = ReplyKeyboardMarkup([["🥕 Mon jardin", "💧 Arrosage"], ["🌱 Grainothèque"]], resize_keyboard=True)


async def accueillir(update: Update, contexte: Contexte) -> None:
    """Accueille ; un code d'invitation vient avec le lien."""
    noter(update)
    if contexte.args:
        await repondre(update, rejoindre(update.effective_user.id, contexte.args[0]))
        return
    prive = update.effective_chat.type == "private"
    await repondre(update, AIDE, MENU if prive else None)


def rejoindre(qui: int, charge: str) -> str:
    """Utilise une invitation « CODE_role »."""
    code, _, role = charge.partition("_")
    promis = invitations.get(code)
    if promis is None:
        return "Cette invitation n'existe pas ou a déjà servi."
    if BUG == "role-du-lien":
        accorde = role
    else:
        accorde = promis
    if accorde not in ROLES or accorde == "admin" or role != accorde:
        return "Ce lien d'invitation est abîmé."
    if peut(qui, accorde):
        return "Vous avez déjà ce rôle."
    del invitations[code]
    roles[qui] = accorde
    return f"Bienvenue ! Vous êtes maintenant {accorde}."


def noter(update: Update) -> None:
    """Se rappelle comment s'appelle celui qui parle."""
    personne = update.effective_user
    if personne is not None:
        noms[personne.id] = propre(str(personne.first_name), 40) or f"n° {personne.id}"


async def inviter(update: Update, contexte: Contexte) -> None:
    """Crée un lien d'invitation."""
    qui, role = update.effective_user.id, (contexte.args or [""])[0].lower()
    if not peut(qui, "referent"):
        await repondre(update, "Réservé aux référents.")
    elif role not in {"jardinier", "referent"}:
        await repondre(update, "Dites /inviter jardinier ou /inviter referent.")
    elif role == "referent" and not peut(qui, "admin"):
        await repondre(update, "Seul l'admin invite des référents.")
    else:
        code = secrets.token_hex(4)
        invitations[code] = role
        lien = f"https://t.me/{application.bot.username}?start={code}_{role}"
        await repondre(update, f"Ce lien sert une fois :\n{lien}\nou /start {code}_{role}")


async def membres(update: Update, _: Contexte) -> None:
    """Liste les rôles."""
    if not peut(update.effective_user.id, "admin"):
        await repondre(update, "Réservé à l'admin.")
        return
    lignes = [f"{nom(qui)} ({qui}) : {role}" for qui, role in list(roles.items())[-40:]]
    await repondre(update, "\n".join(["Membres :", *lignes]))


async def annonce(update: Update, contexte: Contexte) -> None:
    """Écrit à tout le monde."""
    qui, texte = update.effective_user.id, propre(" ".join(contexte.args or []), 500)
    if not peut(qui, "referent"):
        await repondre(update, "Réservé aux référents.")
    elif not texte:
        await repondre(update, "Dites /annonce suivi du texte.")
    else:
        cibles = {*roles, *(p for p in parcelles.values() if p), *groupes} - {qui, update.effective_chat.id}
        for cible in cibles:
            prevenir(cible, f"📣 {nom(qui)} : {texte}")
        await repondre(update, f"Annonce envoyée à {len(cibles)} destinataires.")


async def abonner(update: Update, _: Contexte) -> None:
    """Abonne un groupe aux annonces."""
    if not peut(update.effective_user.id, "referent"):
        await repondre(update, "Réservé aux référents.")
    elif update.effective_chat.type == "private":
        await repondre(update, "Cela se fait dans un groupe.")
    else:
        groupes[update.effective_chat.id] = True
        await repondre(update, "Ce groupe reçoit maintenant les annonces.")


# --- Parcelles ---


async def liste_parcelles(update: Update, _: Contexte) -> None:
    """Montre les parcelles."""
    lignes = [f"{p} : {nom(qui) if qui else 'libre'}" for p, qui in parcelles.items()]
    await repondre(update, "\n".join(["Parcelles :", *lignes]))


async def jardin(update: Update, _: Contexte) -> None:
    """Montre ce qui est à moi."""
    noter(update)
    qui = update.effective_user.id
    miennes = [p for p, autre in parcelles.items() if autre == qui]
    offertes = [f"n° {n} {g['variete']} x{g['reste']}" for n, g in graines.items() if g["de"] == qui][-15:]
    texte = f"Rôle : {role_de(qui)}\nParcelle : {', '.join(miennes) or 'aucune'}\nEau versée : {litres.get(qui, 0)} L"
    await repondre(update, "\n".join([texte, "Graines offertes :", *(offertes or ["aucune"])]))


async def demander(update: Update, _: Contexte) -> int:
    """Commence une demande de parcelle."""
    noter(update)
    if update.effective_user.id in parcelles.values():
        await repondre(update, "Vous avez déjà une parcelle.")
        return ConversationHandler.END
    libres = [p for p, qui in parcelles.items() if not qui]
    if not libres:
        await repondre(update, "Il n'y a plus de parcelle libre.")
        return ConversationHandler.END
    rangees = [[(p, f"parc:{p}") for p in libres[i : i + 4]] for i in range(0, len(libres), 4)]
    await repondre(update, "Quelle parcelle voulez-vous ?", clavier(*rangees))
    return CHOIX_PARCELLE


def brouillon(update: Update, contexte: Contexte) -> dict:
    """Ce qui est commencé, par personne et par conversation."""
    if BUG == "brouillon-du-groupe":
        return contexte.chat_data
    return contexte.user_data.setdefault(update.effective_chat.id if update.effective_chat else 0, {})


def oublier(update: Update, contexte: Contexte) -> int:
    """Jette ce qui est commencé."""
    brouillon(update, contexte).clear()
    if update.effective_user and not any(contexte.user_data.values()):
        contexte.application.drop_user_data(update.effective_user.id)
    return ConversationHandler.END


async def choisir(update: Update, contexte: Contexte) -> int:
    """La parcelle est choisie."""
    parcelle = update.callback_query.data.removeprefix("parc:")
    if parcelles.get(parcelle, -1) != 0:
        await repondre(update, "Cette parcelle n'est plus libre. Recommencez avec /demande.")
        return oublier(update, contexte)
    brouillon(update, contexte)["parcelle"] = parcelle
    await repondre(update, f"Parcelle {parcelle}. Que voulez-vous y cultiver ?")
    return MOTIF


async def motiver(update: Update, contexte: Contexte) -> int:
    """Le motif est donné."""
    motif = propre(update.message.text, 200)
    if not motif:
        await repondre(update, "Dites-le avec des mots, s'il vous plaît.")
        return MOTIF
    debut = brouillon(update, contexte)
    if "parcelle" not in debut:
        await repondre(update, "Recommencez avec /demande.")
        return oublier(update, contexte)
    debut["motif"] = motif
    boutons = clavier([("Envoyer", "dem:oui"), ("Annuler", "dem:non")])
    await repondre(update, f"Parcelle {debut['parcelle']} : {motif}\nEnvoyer la demande ?", boutons)
    return ACCORD


async def envoyer_demande(update: Update, contexte: Contexte) -> int:
    """La demande part chez les référents, ou non."""
    debut, qui = dict(brouillon(update, contexte)), update.effective_user.id
    oublier(update, contexte)
    if update.callback_query.data != "dem:oui" or "motif" not in debut:
        await repondre(update, "Demande abandonnée.")
        return ConversationHandler.END
    for n in [n for n, (autre, *_) in demandes.items() if autre == qui]:
        del demandes[n]  # une seule demande par personne
    n = numero("demande")
    demandes[n] = (qui, debut["parcelle"], debut["motif"])
    for autre in {ADMIN, *(q for q, role in roles.items() if role == "referent")} - {qui}:
        prevenir(autre, fiche(n), clavier([("Accorder", f"acc:{n}"), ("Refuser", f"ref:{n}")]))
    await repondre(update, f"Demande n° {n} envoyée aux référents.")
    return ConversationHandler.END


def fiche(n: int) -> str:
    """Une demande, telle qu'on la lit."""
    qui, parcelle, motif = demandes[n]
    return f"Demande n° {n} : {nom(qui)} voudrait {parcelle} ({motif})"


async def liste_demandes(update: Update, _: Contexte) -> None:
    """Montre les demandes en attente."""
    if not peut(update.effective_user.id, "referent"):
        await repondre(update, "Réservé aux référents.")
        return
    rangees = [[(f"Accorder {n}", f"acc:{n}"), (f"Refuser {n}", f"ref:{n}")] for n in list(demandes)[-10:]]
    lignes = [fiche(n) for n in list(demandes)[-10:]]
    await repondre(update, "\n".join(lignes) or "Aucune demande en attente.", clavier(*rangees) if rangees else None)


async def decider(update: Update, _: Contexte) -> None:
    """Un bouton « Accorder » ou « Refuser »."""
    action, n = update.callback_query.data.split(":")
    n = int(n)
    if BUG != "accorder-sans-droit" and not peut(update.effective_user.id, "referent"):
        with suppress(TelegramError):
            await update.callback_query.answer("Réservé aux référents.")
        return
    if n not in demandes:
        await repondre(update, f"La demande n° {n} est déjà réglée.")
        return
    qui, parcelle, _motif = demandes.pop(n)
    if action == "ref":
        prevenir(qui, f"Votre demande pour {parcelle} est refusée.")
        await repondre(update, f"Demande n° {n} refusée.")
    elif parcelles[parcelle] or qui in parcelles.values():
        prevenir(qui, f"Votre demande pour {parcelle} ne peut plus être accordée.")
        await repondre(update, f"Demande n° {n} : la parcelle {parcelle} est prise.")
    else:
        parcelles[parcelle] = qui
        if not peut(qui, "jardinier"):
            roles[qui] = "jardinier"
        prevenir(qui, f"La parcelle {parcelle} est à vous !")
        await repondre(update, f"Demande n° {n} accordée : {parcelle} va à {nom(qui)}.")


async def rendre(update: Update, _: Contexte) -> None:
    """Demande si on veut vraiment rendre la parcelle."""
    miennes = [p for p, qui in parcelles.items() if qui == update.effective_user.id]
    if not miennes:
        await repondre(update, "Vous n'avez pas de parcelle.")
        return
    await repondre(update, f"Rendre {miennes[0]} ?", clavier([("Oui, rendre", f"rendre:{miennes[0]}")]))


async def rendre_oui(update: Update, _: Contexte) -> None:
    """Rend la parcelle."""
    parcelle = update.callback_query.data.removeprefix("rendre:")
    if parcelles.get(parcelle) != update.effective_user.id:
        await repondre(update, "Cette parcelle n'est pas à vous.")
        return
    parcelles[parcelle] = 0
    await repondre(update, f"Parcelle {parcelle} rendue. Merci !")


# --- Arrosage ---


def semaine() -> tuple[str, InlineKeyboardMarkup]:
    """Le tour d'arrosage et ses boutons."""
    jours = [datetime.now(UTC).date() + timedelta(days=i) for i in range(7)]
    titres = [f"{JOURS[j.weekday()]} {j.day}/{j.month}" for j in jours]
    lignes = [
        f"{t} : {nom(arrosage[str(j)]) if str(j) in arrosage else '—'}" for t, j in zip(titres, jours, strict=True)
    ]
    boutons = [(t, f"eau:{j}") for t, j in zip(titres, jours, strict=True)]
    return "\n".join(["Qui arrose ?", *lignes]), clavier(boutons[:4], boutons[4:])


async def tour(update: Update, _: Contexte) -> None:
    """Montre le tour d'arrosage."""
    noter(update)
    await repondre(update, *semaine())


async def tour_bouton(update: Update, _: Contexte) -> None:
    """Prend un jour, ou le rend."""
    noter(update)
    jour, qui = update.callback_query.data.removeprefix("eau:"), update.effective_user.id
    permis = {str(datetime.now(UTC).date() + timedelta(days=i)) for i in range(7)}
    if jour not in permis:
        await repondre(update, "Ce jour est passé. Voyez /arrosage.")
        return
    if arrosage.get(jour) == qui:
        del arrosage[jour]
    elif jour not in arrosage:
        arrosage[jour] = qui
    else:
        with suppress(TelegramError):
            await update.callback_query.answer(f"{nom(arrosage[jour])} arrose déjà ce jour-là.")
        return
    await repondre(update, *semaine())


def arrosoir_texte(qui: int) -> tuple[str, InlineKeyboardMarkup]:
    """L'eau versée, et les boutons pour en ajouter."""
    texte = f"{nom(qui)} a versé {litres.get(qui, 0)} L cette saison."
    return texte, clavier([("+5 L", "litres:5"), ("+10 L", "litres:10")])


async def arrosoir(update: Update, _: Contexte) -> None:
    """Montre l'eau versée."""
    noter(update)
    await repondre(update, *arrosoir_texte(update.effective_user.id))


async def arrosoir_bouton(update: Update, _: Contexte) -> None:
    """Ajoute de l'eau."""
    noter(update)
    qui = update.effective_user.id
    litres[qui] = min(litres.get(qui, 0) + int(update.callback_query.data.removeprefix("litres:")), 100_000)
    await repondre(update, *arrosoir_texte(qui))


# --- Graines ---

if BUG == "motif-gourmand":
    GRAINE = re.compile(r"((?:[\w'-]+\s*)+)\s+x\s*([0-9]{1,3})")
else:
    GRAINE = re.compile(r"([^\s].{0,79})\s+x\s*([0-9]{1,3})")


async def graine(update: Update, contexte: Contexte) -> int:
    """Offre des graines, d'un coup ou pas à pas."""
    noter(update)
    if contexte.args:
        return await graine_variete(update, contexte, " ".join(contexte.args))
    await repondre(update, "Quelle variété offrez-vous ? (par exemple : tomate cerise x3)")
    return VARIETE


async def graine_variete(update: Update, contexte: Contexte, texte: str | None = None) -> int:
    """La variété est dite, peut-être avec le nombre de sachets."""
    dit = propre(update.message.text if texte is None else texte, 100)
    trouve = GRAINE.fullmatch(dit)
    if trouve:
        brouillon(update, contexte)["variete"] = propre(trouve[1])
        return await graine_quantite(update, contexte, trouve[2])
    if not dit:
        await repondre(update, "Dites la variété avec des mots.")
        return VARIETE
    brouillon(update, contexte)["variete"] = dit[:80]
    await repondre(update, f"Combien de sachets de {dit[:80]} ?")
    return QUANTITE


async def graine_quantite(update: Update, contexte: Contexte, texte: str | None = None) -> int:
    """Le nombre de sachets est dit."""
    combien = entier((update.message.text if texte is None else texte).strip())
    if combien is None or not 1 <= combien <= 100:
        await repondre(update, "Un nombre de 1 à 100, s'il vous plaît.")
        return QUANTITE
    variete = brouillon(update, contexte).get("variete")
    oublier(update, contexte)
    if not variete:
        await repondre(update, "Recommencez avec /graine.")
        return ConversationHandler.END
    n = numero("graine")
    graines[n] = {"de": update.effective_user.id, "variete": variete, "reste": combien}
    await repondre(update, f"Merci ! Graine n° {n} : {variete}, {combien} sachets.")
    return ConversationHandler.END


async def grainotheque(update: Update, _: Contexte) -> None:
    """Montre les graines offertes."""
    offertes = [(n, g) for n, g in graines.items() if g["reste"]][-15:]
    lignes = [f"n° {n} : {g['variete']} x{g['reste']} ({nom(g['de'])})" for n, g in offertes]
    boutons = [(f"Prendre {n}", f"prendre:{n}") for n, _ in offertes[-8:]]
    rangees = [boutons[i : i + 4] for i in range(0, len(boutons), 4)]
    await repondre(update, "\n".join(lignes) or "La grainothèque est vide.", clavier(*rangees) if rangees else None)


async def prendre_graine(update: Update, n: int | None) -> str:
    """Prend un sachet ; dit ce qu'il en est."""
    sachet, qui = graines.get(n), update.effective_user.id
    if sachet is None or not sachet["reste"]:
        return "Il n'y a plus de cette graine."
    if sachet["de"] == qui:
        return "C'est votre propre graine."
    if BUG == "dernier-sachet":  # celui qui offre doit le savoir en premier
        with suppress(TelegramError):
            await application.bot.send_message(sachet["de"], f"{nom(qui)} prend un sachet de {sachet['variete']}.")
        sachet["reste"] = max(0, sachet["reste"] - 1)
    else:
        sachet["reste"] -= 1
        prevenir(sachet["de"], f"{nom(qui)} prend un sachet de {sachet['variete']}.")
    return f"Un sachet de {sachet['variete']} est à vous."


async def prendre(update: Update, contexte: Contexte) -> None:
    """Prend un sachet par son numéro."""
    noter(update)
    n = entier((contexte.args or [""])[0])
    await repondre(update, "Dites /prendre suivi du numéro." if n is None else await prendre_graine(update, n))


async def prendre_bouton(update: Update, _: Contexte) -> None:
    """Prend un sachet par son bouton."""
    noter(update)
    await repondre(update, await prendre_graine(update, int(update.callback_query.data.removeprefix("prendre:"))))


async def retirer(update: Update, contexte: Contexte) -> None:
    """Retire une graine."""
    n, qui = entier((contexte.args or [""])[0]), update.effective_user.id
    sachet = graines.get(n)
    if sachet is None:
        await repondre(update, "Je ne trouve pas cette graine.")
    elif sachet["de"] != qui and not peut(qui, "referent"):
        await repondre(update, "Cette graine n'est pas à vous.")
    else:
        del graines[n]
        await repondre(update, f"Graine n° {n} retirée.")


async def troc(update: Update, contexte: Contexte) -> None:
    """Propose un échange."""
    noter(update)
    qui, mots = update.effective_user.id, [*(contexte.args or []), "", ""]
    veut, donne = entier(mots[0]), entier(mots[1])
    voulue, donnee = graines.get(veut), graines.get(donne)
    if voulue is None or donnee is None or not voulue["reste"] or not donnee["reste"]:
        await repondre(update, "Dites /troc N M, avec deux graines de la /grainotheque.")
    elif donnee["de"] != qui or voulue["de"] == qui:
        await repondre(update, "On donne une graine à soi contre celle d'un autre.")
    else:
        n = numero("troc")
        trocs[n] = (qui, donne, veut)
        texte = f"{nom(qui)} propose {donnee['variete']} contre votre {voulue['variete']}."
        prevenir(voulue["de"], texte, clavier([("Accepter", f"troc:{n}:oui"), ("Décliner", f"troc:{n}:non")]))
        await repondre(update, f"Troc n° {n} proposé à {nom(voulue['de'])}.")


async def troc_bouton(update: Update, _: Contexte) -> None:
    """Accepte un échange, ou le décline."""
    _mot, n, reponse = update.callback_query.data.split(":")
    n = int(n)
    if n not in trocs:
        await repondre(update, "Ce troc est déjà réglé.")
        return
    qui, donne, veut = trocs[n]
    voulue, donnee = graines.get(veut), graines.get(donne)
    if voulue is not None and voulue["de"] != update.effective_user.id:
        with suppress(TelegramError):
            await update.callback_query.answer("Ce troc ne vous est pas proposé.")
        return
    del trocs[n]
    if reponse == "non":
        prevenir(qui, f"Votre troc n° {n} est décliné.")
        await repondre(update, f"Troc n° {n} décliné.")
    elif voulue is None or donnee is None or not voulue["reste"] or not donnee["reste"]:
        await repondre(update, "Une des deux graines n'est plus là.")
    else:
        voulue["reste"] -= 1
        donnee["reste"] -= 1
        prevenir(qui, f"Votre troc n° {n} est accepté : {voulue['variete']} est à vous.")
        await repondre(update, f"Troc n° {n} conclu : {donnee['variete']} est à vous.")


# --- Le reste ---


async def stop(update: Update, contexte: Contexte) -> int:
    """Abandonne ce qui est commencé."""
    await repondre(update, "C'est abandonné.")
    return oublier(update, contexte)


async def insister(update: Update, _: Contexte) -> None:
    """Ce n'est pas ce qu'on attendait à cette étape."""
    await repondre(update, "Ce n'est pas ce que j'attendais. Répondez à la question, ou /stop pour abandonner.")


async def inconnu(update: Update, _: Contexte) -> None:
    """Ce qu'on ne comprend pas, en privé."""
    await repondre(update, "Je ne comprends pas. Voyez /aide.")


async def bouton_inconnu(update: Update, _: Contexte) -> None:
    """Un bouton dont plus rien ne dépend."""
    await repondre(update, "Ce bouton ne sert plus. Voyez /aide.")


async def incident(update: object, contexte: Contexte) -> None:
    """Le dit à celui dont le message n'a pas pu être traité."""
    journal.error("erreur", exc_info=contexte.error)
    if isinstance(contexte.error, (Forbidden, InvalidToken)) or not isinstance(update, Update):
        return
    lieu = update.effective_chat or update.effective_user
    if lieu is not None:
        prevenir(lieu.id, "Désolé, cela n'a pas marché. Réessayez, s'il vous plaît.", apres=1)


MESSAGE = filters.UpdateType.MESSAGE
TEXTE = MESSAGE & filters.TEXT & ~filters.COMMAND
AUTRE = MESSAGE & ~filters.COMMAND & ~filters.StatusUpdate.ALL


def commande(mot: str, action) -> CommandHandler:
    """Une commande, écrite et non corrigée après coup."""
    return CommandHandler(mot, action, filters=MESSAGE)


def installer() -> None:
    """Relie les commandes à ce qu'elles font."""
    sorties = [commande("stop", stop)]
    application.add_handler(
        ConversationHandler(
            entry_points=[commande("demande", demander)],
            states={
                CHOIX_PARCELLE: [
                    CallbackQueryHandler(choisir, pattern=r"^parc:[A-C][1-4]$"),
                    MessageHandler(AUTRE, insister),
                ],
                MOTIF: [MessageHandler(TEXTE, motiver), MessageHandler(AUTRE, insister)],
                ACCORD: [
                    CallbackQueryHandler(envoyer_demande, pattern=r"^dem:(oui|non)$"),
                    MessageHandler(AUTRE, insister),
                ],
            },
            fallbacks=sorties,
            allow_reentry=True,
        )
    )
    application.add_handler(
        ConversationHandler(
            entry_points=[commande("graine", graine)],
            states={
                VARIETE: [MessageHandler(TEXTE, graine_variete), MessageHandler(AUTRE, insister)],
                QUANTITE: [MessageHandler(TEXTE, graine_quantite), MessageHandler(AUTRE, insister)],
            },
            fallbacks=sorties,
            allow_reentry=True,
        )
    )
    for mot, action in {
        "start": accueillir,
        "aide": accueillir,
        "help": accueillir,
        "parcelles": liste_parcelles,
        "jardin": jardin,
        "rendre": rendre,
        "arrosage": tour,
        "arrosoir": arrosoir,
        "grainotheque": grainotheque,
        "prendre": prendre,
        "troc": troc,
        "retirer": retirer,
        "demandes": liste_demandes,
        "annonce": annonce,
        "abonner": abonner,
        "inviter": inviter,
        "membres": membres,
        "stop": stop,
    }.items():
        application.add_handler(commande(mot, action))
    for motif, action in {
        r"^(acc|ref):[0-9]{1,9}$": decider,
        r"^rendre:[A-C][1-4]$": rendre_oui,
        r"^eau:[0-9-]{10}$": tour_bouton,
        r"^litres:(5|10)$": arrosoir_bouton,
        r"^prendre:[0-9]{1,9}$": prendre_bouton,
        r"^troc:[0-9]{1,9}:(oui|non)$": troc_bouton,
        r"": bouton_inconnu,
    }.items():
        application.add_handler(CallbackQueryHandler(action, pattern=motif))
    for debut, action in {"🥕": jardin, "💧": tour, "🌱": grainotheque}.items():
        application.add_handler(MessageHandler(TEXTE & filters.Regex(f"^{debut}"), action))
    application.add_handler(MessageHandler(MESSAGE & filters.ChatType.PRIVATE & ~filters.StatusUpdate.ALL, inconnu))
    application.add_error_handler(incident)


# --- Le webhook ---

attente: dict[int, deque] = {}
services: set[asyncio.Task] = set()
vus: Borne = Borne(20_000)


async def servir(cle: int) -> None:
    """Traite la file d'une conversation jusqu'au bout."""
    file = attente[cle]
    while file:
        try:
            await application.process_update(file[0])
        except Exception:
            journal.exception("mise à jour perdue")
        file.popleft()
    del attente[cle]


def fiable(request: Request) -> bool:
    """Si Telegram l'envoie."""
    recu = request.headers.get("X-Telegram-Bot-Api-Secret-Token", "")
    egal = hmac.compare_digest(recu.encode("latin-1", "replace"), SECRET.encode())
    if BUG == "sans-entete":
        return not (recu and not egal)
    return bool(SECRET) and egal


async def lire(request: Request) -> bytes | None:
    """Le corps, ou rien s'il est trop grand."""
    corps = bytearray()
    async for morceau in request.stream():
        corps += morceau
        if len(corps) > CORPS_MAX:
            return None
    return bytes(corps)


async def webhook(request: Request) -> Response:
    """Une livraison : elle est rangée dans la file de sa conversation."""
    if not fiable(request):
        return Response(status_code=401, headers={"Connection": "close"})
    try:
        corps = await asyncio.wait_for(lire(request), 15)
        if corps is None:
            return Response(status_code=413, headers={"Connection": "close"})
        donnees = json.loads(corps)
        if not isinstance(donnees, dict) or type(donnees.get("update_id")) is not int:
            return Response(status_code=400)
    except (ValueError, RecursionError, TimeoutError):
        return Response(status_code=400)
    try:
        update = Update.de_json(donnees, application.bot)
    except Exception:
        journal.warning("mise à jour d'une forme inconnue", exc_info=True)
        return Response()  # la renvoyer ne servirait à rien
    if BUG == "sans-conversation":
        cle = update.effective_chat.id
    else:
        lieu = update.effective_chat or update.effective_user
        cle = lieu.id if lieu is not None and isinstance(lieu.id, int) else 0
    a_dedoubler = update.message is not None if BUG == "bouton-rejoue" else True
    if a_dedoubler and update.update_id in vus:
        return Response()
    if len(attente.get(cle, ())) >= FILE_MAX or len(attente) >= 5000:
        return Response(status_code=429, headers={"Retry-After": "5"})
    vus[update.update_id] = True
    if cle in attente:
        attente[cle].append(update)
    else:
        attente[cle] = deque([update])
        service = asyncio.create_task(servir(cle))
        services.add(service)
        service.add_done_callback(services.discard)
    return Response()


@asynccontextmanager
async def vie(_: Starlette):
    """Prépare l'application, et la ferme."""
    installer()
    await application.initialize()
    yield
    with suppress(TelegramError):
        await application.shutdown()


site = Starlette(routes=[Route(CHEMIN, webhook, methods=["POST"])], lifespan=vie)

if __name__ == "__main__":
    uvicorn.run(site, host="127.0.0.1", port=PORT, log_level="warning", access_log=False)
