// Ciné-club : un bot Telegraf pour un club de cinéma. On propose des films, on vote, on réserve une place, on se prête des DVD ;
// les organisateurs retiennent les films et fixent les séances. Tout est gardé en mémoire ; le webhook est un simple serveur http,
// chaque discussion a sa file, et les appels à Telegram passent tous par `patienter`.
'use strict';

const http = require('node:http');
const crypto = require('node:crypto');
const { Telegraf, Telegram, TelegramError, Markup } = require('telegraf');

const PORT = Number(process.env.PORT || 8080);
const CHEMIN = process.env.WEBHOOK_PATH || '/webhook';
const SECRET = process.env.SECRET || '';
const JETON = process.env.BOT_TOKEN || '';
const API = process.env.BOT_API || 'https://api.telegram.org';
const ADMIN = Number(process.env.ADMIN_ID || 0);
const BUG = process.env.BUG || '';

const JOUR = 24 * 3600 * 1000;
const TAILLE_MAX = 1 << 20;
const MAX_FILMS = 2000;
const MAX_PAR_MEMBRE = 30;
const MAX_SEANCES = 200;
const MAX_ATTENTE = 50;
const MAX_DVD = 2000;
const MAX_DEMANDES = 10;
const REPRISES = [500, 1000, 2000, 4000, 8000];

const dormir = (ms) => new Promise((ok) => setTimeout(ok, ms));

/** Une Map qui oublie le plus ancien au-delà de `limite`. */
class Memoire extends Map {
  constructor(limite) {
    super();
    this.limite = limite;
  }
  set(cle, valeur) {
    this.delete(cle);
    super.set(cle, valeur);
    if (this.size > this.limite) this.delete(this.keys().next().value);
    return this;
  }
}

// ------------------------------------------------------------------ vers Telegram

class Injoignable extends Error {}

const demenages = new Memoire(1000); // ancien groupe -> supergroupe
const retenus = new Memoire(5000); // discussion -> quand on peut lui reparler

const entier = (n) => Number.isSafeInteger(n);

async function patienter(envoyer, methode, charge) {
  let echecs = 0;
  let attentes = 0;
  const reprises = methode === 'answerCallbackQuery' ? REPRISES.slice(0, 2) : REPRISES;
  for (;;) {
    const chat = charge && charge.chat_id;
    if (demenages.has(chat)) {
      charge = { ...charge, chat_id: demenages.get(chat) };
      continue;
    }
    const cle = chat ?? methode;
    const reste = (retenus.get(cle) || 0) - Date.now();
    if (reste > 0) await dormir(reste);
    try {
      return await envoyer(charge);
    } catch (erreur) {
      const params = (erreur instanceof TelegramError && erreur.response.parameters) || {};
      const code = erreur instanceof TelegramError ? erreur.code : undefined;
      if (entier(params.migrate_to_chat_id) && chat !== undefined && params.migrate_to_chat_id !== chat && attentes++ < 5) {
        demenages.set(chat, params.migrate_to_chat_id);
        continue;
      }
      if (code === 429) {
        const secondes = Math.max(1, Number(params.retry_after) || 1);
        if (secondes > 120 || attentes++ >= 5) throw erreur;
        retenus.set(cle, Date.now() + secondes * 1000 + 100);
        continue;
      }
      if (code >= 400 && code < 500) throw erreur;
      if (BUG === 'sans-pause' ? echecs >= 40 : echecs >= reprises.length) throw new Injoignable(`${methode}: ${erreur.message}`);
      if (BUG !== 'sans-pause') await dormir(reprises[echecs]);
      echecs += 1;
    }
  }
}

// ctx.telegram est créé à chaque mise à jour : on remplace donc la méthode pour tous
const appelSimple = Telegram.prototype.callApi;
Telegram.prototype.callApi = function (methode, charge) {
  return patienter((c) => appelSimple.call(this, methode, c, { signal: AbortSignal.timeout(8000) }), methode, charge);
};

const bot = new Telegraf(JETON, {
  handlerTimeout: Infinity,
  telegram: { apiRoot: API, ...(API.startsWith('http:') && { agent: new http.Agent({ keepAlive: true }) }) },
});
bot.botInfo = { id: Number(JETON.split(':')[0]) || 0, is_bot: true, first_name: 'Ciné-club', username: process.env.BOT_USERNAME || '' };

const journal = (...quoi) => console.error(new Date().toISOString(), ...quoi);

// ------------------------------------------------------------------ les files

class Files {
  constructor(maximum) {
    this.maximum = maximum;
    this.files = new Map();
  }
  /** Ajoute un travail derrière ceux de la même clé ; null quand il y en a trop. */
  ajouter(cle, travail) {
    const file = this.files.get(cle) || { queue: Promise.resolve(), nombre: 0 };
    if (file.nombre >= this.maximum) return null;
    this.files.set(cle, file);
    file.nombre += 1;
    const resultat = file.queue.then(travail);
    file.queue = resultat.catch(() => {}).then(() => {
      file.nombre -= 1;
      if (file.nombre === 0) this.files.delete(cle);
    });
    return resultat;
  }
}

const entrees = new Files(1000);
const sorties = new Files(200);

const MORCEAU = 3900;
function morceaux(texte) {
  const parts = [];
  while (texte.length > MORCEAU && parts.length < 5) {
    let ou = texte.lastIndexOf('\n', MORCEAU);
    if (ou < MORCEAU / 2) ou = MORCEAU;
    if (/[\ud800-\udbff]/.test(texte[ou - 1])) ou -= 1;
    parts.push(texte.slice(0, ou));
    texte = texte.slice(ou).replace(/^\n/, '');
  }
  parts.push(texte.slice(0, MORCEAU));
  return parts;
}

async function ecrire(chat, texte, boutons) {
  const parts = morceaux(texte);
  for (const [i, part] of parts.entries()) {
    const extra = boutons && boutons.length && i === parts.length - 1 ? Markup.inlineKeyboard(boutons) : {};
    await bot.telegram.sendMessage(chat, part, extra);
  }
}

/** Écrit à quelqu'un d'autre, sans faire attendre celui qui parle. */
function prevenir(chat, texte, boutons) {
  const envoi = sorties.ajouter(chat, () => ecrire(chat, texte, boutons));
  if (envoi) envoi.catch((e) => journal('non remis à', chat, e.message));
}

const ici = (ctx) => (ctx.chat ? ctx.chat.id : ctx.from.id);
const repondre = (ctx, texte, boutons) => ecrire(ici(ctx), texte, boutons);

function accuser(ctx, texte) {
  ctx.answerCbQuery(texte).catch((e) => journal('answerCallbackQuery', e.message));
}

// ------------------------------------------------------------------ ce que le club sait

const films = new Map();
const seances = new Map();
const dvds = new Map();
const membres = new Memoire(5000); // id -> nom
const organisateurs = new Set([ADMIN]);
const brouillons = new Memoire(2000);
const actifs = new Memoire(2000); // discussion -> dernière activité
let numero = 0;
const suivant = () => (numero += 1);

for (const [titre, annee] of [['Les Enfants du paradis', 1945], ['La Jetée', 1962], ['Playtime', 1967]]) {
  const id = suivant();
  films.set(id, { id, titre, annee, motif: 'un classique', par: 0, etat: 'retenu', votes: new Set() });
}
for (const titre of ['Mon oncle', 'Cléo de 5 à 7']) {
  const id = suivant();
  dvds.set(id, { id, titre, proprio: ADMIN, demandes: new Map(), pret: null });
}

const propre = (texte, max) => texte.replace(/[\u0000-\u001f\u007f]+|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g, ' ')
  .replace(/ +/g, ' ').trim().slice(0, max).replace(/[\ud800-\udbff]$/, '');
const nombre = (texte) => (/^#?[0-9]{1,9}$/.test(texte || '') ? Number(texte.replace('#', '')) : null);
const nom = (id) => membres.get(id) || (id === 0 ? 'le club' : `membre ${id}`);
const estOrganisateur = (id) => organisateurs.has(id);
const date = (ms) => new Intl.DateTimeFormat('fr-FR', { weekday: 'long', day: 'numeric', month: 'long', year: 'numeric', timeZone: 'Europe/Paris' }).format(new Date(ms));
const voix = (n) => `${n} voix`;

const carte = (film) => `🎬 n° ${film.id} ${film.titre} (${film.annee}), proposé par ${nom(film.par)}\n${film.motif}\n${voix(film.votes.size)}`;
const boutonVote = (film) => [Markup.button.callback(`👍 ${film.votes.size}`, `vote:${film.id}`)];

function ligneSeance(s) {
  const film = films.get(s.film);
  return `n° ${s.id} ${film ? film.titre : 'film retiré'}, ${date(s.quand)}, 20 h 30 : ${s.places - s.inscrits.length} places libres sur ${s.places}${s.attente.length ? `, ${s.attente.length} en attente` : ''}`;
}

function etatDvd(d) {
  if (!d.pret) return 'disponible';
  return d.pret.retour ? `retour annoncé par ${nom(d.pret.a)}` : `prêté à ${nom(d.pret.a)} jusqu'au ${date(d.pret.jusque)}`;
}

const AIDE = `Ciné-club : films, votes, séances et prêts de DVD.
/proposer - proposer un film (titre, année, motif)
/films - les films retenus ; /films n pour en voir un et voter
/retirer n - retirer sa proposition
/seances - les séances, avec un bouton pour réserver
/reserver n - réserver une place
/annuler n - rendre sa place ; sans numéro : abandonner une proposition commencée
/dvd titre - mettre un de ses DVD à la disposition du club
/dvdtheque - les DVD
/emprunter n jours - demander un DVD à son propriétaire, par exemple /emprunter 4 7
/rendre n - annoncer qu'on a rendu un DVD
/mes - mes propositions, mes places, mes prêts
Organisateurs :
/moderer - les propositions à examiner
/seance film jours places - fixer une séance, par exemple /seance 1 7 12
/annonce séance texte - écrire aux inscrits d'une séance
Admin :
/organisateur id - nommer ou relever un organisateur
/bilan - les chiffres du club`;

// ------------------------------------------------------------------ les commandes

const commandes = new Map();
const commande = (noms, droit, faire) => noms.forEach((n) => commandes.set(n, { droit, faire }));

commande(['start', 'aide', 'help'], 'tous', (ctx) => repondre(ctx, AIDE));

const cleBrouillon = (ctx) => (BUG === 'brouillon-commun' ? 'en cours' : `${ici(ctx)}:${ctx.from.id}`);

function brouillonDe(ctx) {
  const b = ctx.from && brouillons.get(cleBrouillon(ctx));
  return b && Date.now() - b.quand < 30 * 60 * 1000 ? b : null;
}

commande(['proposer'], 'membre', (ctx) => {
  const miens = [...films.values()].filter((f) => f.par === ctx.from.id).length;
  if (films.size >= MAX_FILMS || miens >= MAX_PAR_MEMBRE) return repondre(ctx, 'Il y a déjà trop de propositions, retirez-en avec /retirer.');
  brouillons.set(cleBrouillon(ctx), { etape: 'titre', quand: Date.now() });
  return repondre(ctx, 'Quel est le titre du film ? (/annuler pour abandonner)');
});

function poursuivre(ctx, brouillon, texte) {
  if (texte === null) return repondre(ctx, 'Envoyez du texte, s’il vous plaît, ou /annuler.');
  if (brouillon.etape === 'titre') {
    if (!texte) return repondre(ctx, 'Il me faut un titre.');
    Object.assign(brouillon, { titre: texte.slice(0, 120), etape: 'annee' });
    return repondre(ctx, 'De quelle année ?');
  }
  if (brouillon.etape === 'annee') {
    const annee = nombre(texte);
    if (annee === null || annee < 1888 || annee > new Date().getFullYear() + 1) return repondre(ctx, 'Une année de quatre chiffres, par exemple 1967.');
    Object.assign(brouillon, { annee, etape: 'motif' });
    return repondre(ctx, 'Pourquoi ce film ? En une phrase.');
  }
  if (brouillon.etape === 'motif') Object.assign(brouillon, { motif: texte, etape: 'confirmer' });
  return repondre(ctx, `${brouillon.titre} (${brouillon.annee})\n${brouillon.motif}\nOn envoie ?`, [
    [Markup.button.callback('Envoyer', 'prop:oui'), Markup.button.callback('Abandonner', 'prop:non')],
  ]);
}

commande(['films'], 'tous', (ctx, args) => {
  const film = films.get(nombre(args[0]));
  if (args[0] && (!film || film.etat !== 'retenu')) return repondre(ctx, 'Il n’y a pas de film retenu de ce numéro.');
  if (film) return repondre(ctx, carte(film), [boutonVote(film)]);
  const retenus_ = [...films.values()].filter((f) => f.etat === 'retenu').sort((a, b) => b.votes.size - a.votes.size).slice(0, 30);
  if (!retenus_.length) return repondre(ctx, 'Aucun film retenu pour le moment.');
  return repondre(ctx, retenus_.map((f) => `n° ${f.id} ${f.titre} (${f.annee}) : ${voix(f.votes.size)}`).join('\n'),
    retenus_.slice(0, 8).map((f) => [Markup.button.callback(`👍 ${f.titre.slice(0, 30)}`, `vote:${f.id}`)]));
});

commande(['retirer'], 'membre', (ctx, args) => {
  const film = films.get(nombre(args[0]));
  if (!film) return repondre(ctx, 'Quel film ? /retirer n, le numéro est dans /mes.');
  const permis = film.par === ctx.from.id || estOrganisateur(ctx.from.id);
  if (!permis && BUG !== 'retirer-tout') return repondre(ctx, 'Ce n’est pas votre proposition.');
  films.delete(film.id);
  return repondre(ctx, `« ${film.titre} » est retiré.`);
});

commande(['seances'], 'tous', (ctx) => {
  const prochaines = [...seances.values()].filter((s) => s.quand > Date.now()).sort((a, b) => a.quand - b.quand).slice(0, 15);
  if (!prochaines.length) return repondre(ctx, 'Aucune séance prévue.');
  return repondre(ctx, prochaines.map(ligneSeance).join('\n'),
    prochaines.slice(0, 8).map((s) => [Markup.button.callback(`Réserver n° ${s.id}`, `place:${s.id}`), Markup.button.callback('Annuler', `libere:${s.id}`)]));
});

function reserver(seance, membre) {
  if (!seance || seance.quand < Date.now()) return 'Il n’y a pas de séance à venir de ce numéro (/seances).';
  if (seance.inscrits.includes(membre)) return `Vous avez déjà une place pour la séance n° ${seance.id}.`;
  if (seance.inscrits.length < seance.places) {
    seance.inscrits.push(membre);
    return `Place réservée : ${ligneSeance(seance)}`;
  }
  if (seance.attente.includes(membre)) return 'C’est complet, vous êtes déjà en liste d’attente.';
  if (seance.attente.length >= MAX_ATTENTE) return 'C’est complet, et la liste d’attente aussi.';
  seance.attente.push(membre);
  return `C’est complet : vous êtes n° ${seance.attente.length} en liste d’attente.`;
}

function liberer(seance, membre) {
  if (!seance) return 'Il n’y a pas de séance de ce numéro (/seances).';
  const avait = seance.inscrits.includes(membre);
  if (!avait && !seance.attente.includes(membre)) return 'Vous n’avez pas de place pour cette séance.';
  seance.inscrits = seance.inscrits.filter((m) => m !== membre);
  seance.attente = seance.attente.filter((m) => m !== membre);
  if (avait && seance.attente.length) {
    const chanceux = seance.attente.shift();
    seance.inscrits.push(chanceux);
    prevenir(chanceux, `Une place s’est libérée, elle est à vous : ${ligneSeance(seance)}`);
  }
  return `C’est annulé pour la séance n° ${seance.id}.`;
}

commande(['reserver'], 'membre', (ctx, args) => repondre(ctx, reserver(seances.get(nombre(args[0])), ctx.from.id)));

commande(['annuler'], 'membre', (ctx, args) => {
  if (args[0]) return repondre(ctx, liberer(seances.get(nombre(args[0])), ctx.from.id));
  return repondre(ctx, brouillons.delete(cleBrouillon(ctx)) ? 'Proposition abandonnée.' : 'Rien à abandonner. Pour rendre une place : /annuler n');
});

commande(['dvd'], 'membre', (ctx, args, reste) => {
  const titre = propre(reste, 120);
  if (!titre) return repondre(ctx, 'Quel DVD ? /dvd titre');
  const miens = [...dvds.values()].filter((d) => d.proprio === ctx.from.id).length;
  if (dvds.size >= MAX_DVD || miens >= MAX_PAR_MEMBRE) return repondre(ctx, 'La dvdthèque est pleine.');
  const id = suivant();
  dvds.set(id, { id, titre, proprio: ctx.from.id, demandes: new Map(), pret: null });
  return repondre(ctx, `Merci ! DVD n° ${id} : ${titre}`);
});

commande(['dvdtheque'], 'tous', (ctx) => {
  const tous = [...dvds.values()].slice(-30);
  return repondre(ctx, tous.map((d) => `n° ${d.id} ${d.titre} (${nom(d.proprio)}) : ${etatDvd(d)}`).join('\n') || 'Aucun DVD.');
});

commande(['emprunter'], 'membre', (ctx, args) => {
  const dvd = dvds.get(nombre(args[0]));
  if (!dvd) return repondre(ctx, 'Quel DVD ? /emprunter n jours, par exemple /emprunter 4 7');
  const jours = args[1] === undefined ? 14 : Number(args[1]);
  if (!Number.isInteger(jours) || jours < 1) return repondre(ctx, 'Pour combien de jours ? Un nombre entier, 60 au plus.');
  if (jours > 60 && BUG !== 'duree-folle') return repondre(ctx, 'Pas plus de 60 jours.');
  const jusque = date(Date.now() + jours * JOUR);
  if (dvd.proprio === ctx.from.id) return repondre(ctx, 'C’est votre DVD.');
  if (dvd.pret) return repondre(ctx, `Le DVD est ${etatDvd(dvd)}.`);
  if (!dvd.demandes.has(ctx.from.id) && dvd.demandes.size >= MAX_DEMANDES) return repondre(ctx, 'Ce DVD est déjà très demandé.');
  const id = suivant();
  dvd.demandes.set(ctx.from.id, { id, jours });
  prevenir(dvd.proprio, `${nom(ctx.from.id)} voudrait emprunter « ${dvd.titre} » jusqu'au ${jusque}.`, [
    [Markup.button.callback('Prêter', `pret:oui:${dvd.id}:${id}`), Markup.button.callback('Refuser', `pret:non:${dvd.id}:${id}`)],
  ]);
  return repondre(ctx, `La demande pour « ${dvd.titre} » est partie ; retour au plus tard le ${jusque}.`);
});

commande(['rendre'], 'membre', (ctx, args) => {
  const dvd = dvds.get(nombre(args[0]));
  if (!dvd || !dvd.pret || dvd.pret.a !== ctx.from.id) return repondre(ctx, 'Ce DVD ne vous est pas prêté (/mes).');
  dvd.pret.retour = true;
  prevenir(dvd.proprio, `${nom(ctx.from.id)} dit vous avoir rendu « ${dvd.titre} ».`, [[Markup.button.callback('Bien reçu', `retour:${dvd.id}`)]]);
  return repondre(ctx, `Merci. ${nom(dvd.proprio)} doit encore confirmer le retour de « ${dvd.titre} ».`);
});

commande(['mes'], 'membre', (ctx) => {
  const moi = ctx.from.id;
  const lignes = [];
  for (const f of films.values()) if (f.par === moi) lignes.push(`film n° ${f.id} ${f.titre} : ${f.etat}, ${voix(f.votes.size)}`);
  for (const s of seances.values()) if (s.inscrits.includes(moi)) lignes.push(`place : ${ligneSeance(s)}`);
  for (const d of dvds.values()) {
    if (d.proprio === moi) lignes.push(`mon DVD n° ${d.id} ${d.titre} : ${etatDvd(d)}`);
    if (d.pret && d.pret.a === moi) lignes.push(`emprunté : n° ${d.id} ${d.titre}, ${etatDvd(d)}`);
  }
  return repondre(ctx, lignes.slice(0, 80).join('\n') || 'Vous n’avez encore rien ici. /proposer, /seances ou /dvdtheque ?');
});

commande(['moderer'], 'organisateur', async (ctx) => {
  const attente = [...films.values()].filter((f) => f.etat === 'attente').slice(0, 8);
  if (!attente.length) return repondre(ctx, 'Rien à examiner.');
  return repondre(ctx, attente.map(carte).join('\n\n'), attente.map((f) => boutonsModeration(f)));
});
const boutonsModeration = (f) => [
  Markup.button.callback(`Retenir n° ${f.id}`, `mod:oui:${f.id}`), Markup.button.callback(`Refuser n° ${f.id}`, `mod:non:${f.id}`),
];

commande(['seance'], 'organisateur', (ctx, args) => {
  const [film, jours, places] = [films.get(nombre(args[0])), nombre(args[1]), nombre(args[2])];
  if (!film || film.etat !== 'retenu') return repondre(ctx, 'Quel film retenu ? /seance film jours places, par exemple /seance 1 7 12');
  if (!jours || jours > 365 || !places || places > 300) return repondre(ctx, 'De 1 à 365 jours et de 1 à 300 places : /seance 1 7 12');
  for (const s of seances.values()) if (s.quand < Date.now() - JOUR) seances.delete(s.id);
  if (seances.size >= MAX_SEANCES) return repondre(ctx, 'Il y a déjà trop de séances.');
  const id = suivant();
  seances.set(id, { id, film: film.id, quand: Date.now() + jours * JOUR, places, inscrits: [], attente: [] });
  return repondre(ctx, `Séance fixée : ${ligneSeance(seances.get(id))}`);
});

commande(['annonce'], 'organisateur', (ctx, args, reste) => {
  const seance = seances.get(nombre(args[0]));
  const texte = propre(reste.replace(/^\S+\s*/, ''), 1000);
  if (!seance || !texte) return repondre(ctx, 'À qui, et quoi ? /annonce séance texte');
  for (const membre of seance.inscrits) prevenir(membre, `📣 Séance n° ${seance.id} : ${texte}`);
  return repondre(ctx, `Annonce envoyée à ${seance.inscrits.length} inscrits.`);
});

commande(['organisateur'], 'admin', (ctx, args) => {
  const repondu = ctx.message && ctx.message.reply_to_message && ctx.message.reply_to_message.from;
  const qui = /^[0-9]{1,15}$/.test(args[0] || '') ? Number(args[0]) : repondu && entier(repondu.id) ? repondu.id : null;
  if (!qui || qui === ADMIN) return repondre(ctx, 'Qui ? /organisateur id, ou en réponse à son message.');
  if (organisateurs.delete(qui)) return repondre(ctx, `${nom(qui)} n’est plus organisateur.`);
  if (organisateurs.size >= 50) return repondre(ctx, 'Cela fait trop d’organisateurs.');
  organisateurs.add(qui);
  return repondre(ctx, `${nom(qui)} est organisateur.`);
});

commande(['bilan'], 'admin', (ctx) => {
  const jour = [...actifs.values()].filter((t) => t > Date.now() - JOUR).length;
  return repondre(ctx, `${membres.size} membres, ${organisateurs.size} organisateurs, ${films.size} films, ${seances.size} séances, ${dvds.size} DVD, ${jour} discussions actives.`);
});

/** Dit pourquoi quelqu'un ne peut pas se servir d'une commande, ou rien. */
function refus(ctx, droit) {
  if (droit === 'tous') return '';
  const auteur = ctx.from;
  if (BUG === 'canal-sans-auteur' && droit !== 'membre') {
    if (auteur && !(droit === 'admin' ? auteur.id === ADMIN : estOrganisateur(auteur.id))) return 'Réservé aux organisateurs.';
    return '';
  }
  if (!auteur || auteur.is_bot || (ctx.message && ctx.message.sender_chat)) return 'Écrivez-moi en votre nom, s’il vous plaît.';
  if (droit === 'organisateur' && !estOrganisateur(auteur.id)) return 'Réservé aux organisateurs.';
  if (droit === 'admin' && auteur.id !== ADMIN) return 'Réservé à l’admin.';
  return '';
}

// ------------------------------------------------------------------ l'aiguillage

bot.use((ctx, suite) => {
  if (BUG === 'update-sans-chat' || ctx.chat) actifs.set(ctx.chat.id, Date.now());
  if (ctx.from && entier(ctx.from.id) && !ctx.from.is_bot) {
    membres.set(ctx.from.id, propre(String(ctx.from.first_name || ''), 40) || `membre ${ctx.from.id}`);
  }
  return suite();
});

bot.on(['message', 'channel_post'], (ctx) => {
  const message = ctx.message || ctx.channelPost;
  const prive = message.chat.type === 'private';
  const texte = typeof message.text === 'string' ? message.text : null;
  const trouve = texte && /^\/([A-Za-z0-9_]{1,32})(?:@([A-Za-z0-9_]{1,40}))?(?:\s+([^]*))?$/.exec(texte);
  if (trouve) {
    const [, nom_, pour, reste = ''] = trouve;
    if (pour && bot.botInfo.username && pour.toLowerCase() !== bot.botInfo.username.toLowerCase()) return undefined;
    const quoi = commandes.get(nom_.toLowerCase());
    if (!quoi) return prive ? repondre(ctx, 'Commande inconnue. /aide') : undefined;
    const non = refus(ctx, quoi.droit);
    return non ? repondre(ctx, non) : quoi.faire(ctx, reste.split(/\s+/).filter(Boolean), reste);
  }
  if (!ctx.from || ctx.from.is_bot || message.sender_chat) return undefined;
  const brouillon = brouillonDe(ctx);
  if (brouillon) return poursuivre(ctx, brouillon, texte === null ? null : propre(texte, 400));
  return prive ? repondre(ctx, 'Je n’ai pas compris. /aide dit ce que je sais faire.') : undefined;
});

bot.action(/^prop:(oui|non)$/, (ctx) => {
  const brouillon = brouillonDe(ctx);
  accuser(ctx);
  if (!brouillon || brouillon.etape !== 'confirmer') return repondre(ctx, 'Il n’y a pas de proposition à vous ici. /proposer');
  brouillons.delete(cleBrouillon(ctx));
  if (ctx.match[1] === 'non') return repondre(ctx, 'Proposition abandonnée.');
  const { titre, annee, motif } = brouillon;
  const id = suivant();
  const film = { id, titre, annee, motif, par: ctx.from.id, etat: 'attente', votes: new Set() };
  films.set(id, film);
  for (const o of organisateurs) prevenir(o, `Nouvelle proposition :\n${carte(film)}`, [boutonsModeration(film)]);
  return repondre(ctx, `Proposition n° ${id} enregistrée : ${titre} (${annee}). Les organisateurs vont l’examiner.`);
});

const basculer = (votes, qui) => (votes.has(qui) ? new Set([...votes].filter((v) => v !== qui)) : new Set([...votes, qui]));

bot.action(/^vote:([0-9]{1,9})$/, async (ctx) => {
  const film = films.get(Number(ctx.match[1]));
  if (!film || film.etat !== 'retenu') return accuser(ctx, 'Ce film n’est plus au programme.') ?? repondre(ctx, 'Ce film n’est plus au programme.');
  const votes = basculer(film.votes, ctx.from.id);
  const message = votes.has(ctx.from.id) ? 'Vote pris en compte' : 'Vote retiré';
  if (BUG === 'vote-perdu') await ctx.answerCbQuery(message).catch((e) => journal(e.message));
  else accuser(ctx, message);
  film.votes = votes;
  return repondre(ctx, `${message}. ${carte(film)}`, [boutonVote(film)]);
});

bot.action(/^place:([0-9]{1,9})$/, (ctx) => {
  accuser(ctx);
  return repondre(ctx, `${nom(ctx.from.id)} : ${reserver(seances.get(Number(ctx.match[1])), ctx.from.id)}`);
});

bot.action(/^libere:([0-9]{1,9})$/, (ctx) => {
  accuser(ctx);
  return repondre(ctx, `${nom(ctx.from.id)} : ${liberer(seances.get(Number(ctx.match[1])), ctx.from.id)}`);
});

bot.action(/^mod:(oui|non):([0-9]{1,9})$/, (ctx) => {
  accuser(ctx);
  if (!estOrganisateur(ctx.from.id)) return repondre(ctx, 'Réservé aux organisateurs.');
  const film = films.get(Number(ctx.match[2]));
  if (!film || film.etat !== 'attente') return repondre(ctx, 'Cette proposition est déjà traitée.');
  const retenu = ctx.match[1] === 'oui';
  film.etat = retenu ? 'retenu' : 'refusé';
  if (!retenu) films.delete(film.id);
  prevenir(film.par, retenu ? `Votre film « ${film.titre} » est retenu, on peut voter !` : `Votre film « ${film.titre} » n’est pas retenu.`);
  return repondre(ctx, `« ${film.titre} » : ${film.etat}.`);
});

bot.action(/^pret:(oui|non):([0-9]{1,9}):([0-9]{1,9})$/, (ctx) => {
  accuser(ctx);
  const dvd = dvds.get(Number(ctx.match[2]));
  if (!dvd || dvd.proprio !== ctx.from.id) return repondre(ctx, 'Ce DVD n’est pas à vous.');
  const [qui, demande] = [...dvd.demandes].find(([, d]) => d.id === Number(ctx.match[3])) || [];
  if (!demande || (dvd.pret && ctx.match[1] === 'oui')) return repondre(ctx, 'Cette demande n’est plus d’actualité.');
  dvd.demandes.delete(qui);
  if (ctx.match[1] === 'non') {
    prevenir(qui, `${nom(dvd.proprio)} ne prête pas « ${dvd.titre} » cette fois.`);
    return repondre(ctx, 'Demande refusée.');
  }
  dvd.pret = { a: qui, jusque: Date.now() + demande.jours * JOUR, retour: false };
  prevenir(qui, `${nom(dvd.proprio)} vous prête « ${dvd.titre} » jusqu'au ${date(dvd.pret.jusque)}.`);
  return repondre(ctx, `« ${dvd.titre} » est prêté à ${nom(qui)}.`);
});

bot.action(/^retour:([0-9]{1,9})$/, (ctx) => {
  accuser(ctx);
  const dvd = dvds.get(Number(ctx.match[1]));
  if (!dvd || dvd.proprio !== ctx.from.id) return repondre(ctx, 'Ce DVD n’est pas à vous.');
  if (!dvd.pret || !dvd.pret.retour) return repondre(ctx, 'Aucun retour n’est annoncé pour ce DVD.');
  prevenir(dvd.pret.a, `${nom(dvd.proprio)} a bien reçu « ${dvd.titre} ». Merci !`);
  dvd.pret = null;
  return repondre(ctx, `« ${dvd.titre} » est de nouveau disponible.`);
});

bot.on('callback_query', (ctx) => {
  accuser(ctx, 'Ce bouton n’est plus valable.');
  return repondre(ctx, 'Ce bouton n’est plus valable. /aide');
});

bot.catch((erreur) => {
  if (!(erreur instanceof TelegramError) && !(erreur instanceof Injoignable)) throw erreur;
  journal('non remis :', erreur.message);
});

// ------------------------------------------------------------------ le webhook

const condense = (texte) => crypto.createHash('sha256').update(texte).digest();
const attendu = condense(SECRET);

function secretValable(req) {
  const recu = req.headers['x-telegram-bot-api-secret-token'];
  if (BUG === 'en-tete-absent' && !recu) return true;
  return typeof recu === 'string' && crypto.timingSafeEqual(condense(recu), attendu);
}

const objet = (x) => typeof x === 'object' && x !== null && !Array.isArray(x);

/** Si cette mise à jour a la forme que le bot comprend. */
function lisible(update) {
  for (const [genre, contenu] of Object.entries(update)) {
    if (genre === 'update_id') continue;
    if (!objet(contenu)) return false;
    const message = genre === 'callback_query' ? contenu.message : genre === 'message' || genre === 'channel_post' ? contenu : undefined;
    if (genre === 'callback_query') {
      if (typeof contenu.id !== 'string' || !objet(contenu.from) || (contenu.data !== undefined && typeof contenu.data !== 'string')) return false;
    }
    if (message !== undefined && (!objet(message) || !objet(message.chat) || !entier(message.chat.id))) return false;
    for (const m of [contenu, message]) {
      if (m && m.from !== undefined && (!objet(m.from) || !entier(m.from.id))) return false;
    }
  }
  return true;
}

const vus = new Memoire(20000);

function dejaVu(update) {
  const m = update.message;
  const cle = BUG !== 'boutons-rejoues' ? update.update_id : m && `${m.chat.id}:${m.message_id}`;
  if (cle === undefined) return false;
  if (vus.has(cle)) return true;
  vus.set(cle, true);
  return false;
}

function cleDe(update) {
  const message = update.message || update.channel_post;
  if (message) return message.chat.id;
  const bouton = update.callback_query;
  if (bouton && BUG !== 'file-des-boutons') return bouton.message ? bouton.message.chat.id : bouton.from.id;
  return 'divers';
}

async function recevoir(corps) {
  let update;
  try {
    update = JSON.parse(corps.toString('utf8'));
  } catch {
    return 400;
  }
  if (!objet(update) || !entier(update.update_id)) return 400;
  if (!lisible(update) || dejaVu(update)) return 200;
  const travail = entrees.ajouter(cleDe(update), () => bot.handleUpdate(update));
  if (!travail) {
    vus.delete(update.update_id);
    return 503;
  }
  let minuterie;
  const fini = travail.then(() => 200, (erreur) => {
    journal('erreur', erreur.stack);
    return 500;
  });
  const tard = new Promise((ok) => {
    minuterie = setTimeout(ok, 3000, 200);
  });
  return Promise.race([fini, tard]).finally(() => clearTimeout(minuterie));
}

const serveur = http.createServer((req, res) => {
  const finir = (code) => {
    if (!res.headersSent) res.writeHead(code, { 'Content-Type': 'text/plain' }).end(http.STATUS_CODES[code]);
  };
  if (req.url.split('?')[0] !== CHEMIN) return finir(404);
  if (req.method !== 'POST') return finir(405);
  if (!secretValable(req)) return finir(401);
  const morceaux_ = [];
  let taille = 0;
  req.on('data', (m) => {
    taille += m.length;
    if (taille > TAILLE_MAX) {
      res.on('finish', () => req.destroy());
      finir(413);
    } else morceaux_.push(m);
  });
  req.on('error', () => {});
  req.on('end', () => recevoir(Buffer.concat(morceaux_)).then(finir));
  return undefined;
});
serveur.requestTimeout = 15000;
serveur.keepAliveTimeout = 65000;
serveur.listen(PORT, '127.0.0.1', () => journal('à l’écoute sur', PORT));
