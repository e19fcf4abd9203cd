'use strict';
// Cinoche : un bot qui recommande des films au hasard, en français, en Node nu (node:http et fetch).
// Il répond souvent autrement que par un texte : une réaction, un dé, un sondage, une liste en mode inline, un message privé.
// Les commandes changent l'état d'un coup ; ce qui part est mis dans une file par chat.

const http = require('node:http');
const crypto = require('node:crypto');

const env = process.env;
const PORT = Number(env.PORT || 8080);
const PATH = env.WEBHOOK_PATH || '/webhook';
const SECRET = env.SECRET || '';
const TOKEN = env.BOT_TOKEN || '';
const API = (env.BOT_API || 'https://api.telegram.org').replace(/\/+$/, '');
const ADMIN_ID = Number(env.ADMIN_ID || 0);

const MAX_BODY = 1 << 20;
const MAX_PENDING = 1000; // par chat
const MAX_BUSY = 5000;
const COOLDOWN_MS = 2000; // entre deux tirages d'une même personne
const WINDOW_MS = 10_000;
const PER_WINDOW = 25; // commandes d'une personne
const BACKOFF = [500, 1000, 2000, 4000, 8000];

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const log = (...words) => console.error('cinoche:', ...words);

class Lru extends Map {
  constructor(limit) {
    super();
    this.limit = limit;
  }
  set(key, value) {
    this.delete(key);
    super.set(key, value);
    if (this.size > this.limit) this.delete(this.keys().next().value);
    return this;
  }
}

const clean = (text, limit) =>
  Array.from(String(text).toWellFormed().replace(/[\u0000-\u001f\u007f\u2028\u2029]+/g, ' ').trim()).slice(0, limit).join('');
const isId = (value) => Number.isSafeInteger(value) && value !== 0;
const isObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);
const figure = (text, most) => (/^[0-9]{1,6}$/.test(text || '') && Number(text) >= 1 && Number(text) <= most ? Number(text) : 0);
const pickOne = (list) => list[crypto.randomInt(list.length)];

// ------------------------------------------------------------------ la Bot API

class Refused extends Error {
  constructor(code, description) {
    super(`${code} ${description}`);
    this.code = code;
    this.description = String(description || '');
  }
}

const moved = new Lru(1000);

async function once(method, payload) {
  try {
    const response = await fetch(`${API}/bot${TOKEN}/${method}`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(payload),
      signal: AbortSignal.timeout(8000),
      redirect: 'manual',
    });
    const answer = JSON.parse(await response.text());
    if (!isObject(answer)) return { code: 599 };
    if (answer.ok === true) return { code: 200, result: answer.result };
    const code = Number.isInteger(answer.error_code) && answer.error_code >= 400 ? answer.error_code : response.status;
    return { code: code >= 400 ? code : 599, description: answer.description, parameters: answer.parameters };
  } catch (error) {
    return { code: 599, description: error.name };
  }
}

async function call(method, payload, attempts = BACKOFF.length) {
  let failed = 0;
  let waited = 0;
  for (;;) {
    const to = moved.get(payload.chat_id);
    const answer = await once(method, to ? { ...payload, chat_id: to } : payload);
    if (answer.code === 200) return answer.result;
    const more = isObject(answer.parameters) ? answer.parameters : {};
    if (isId(more.migrate_to_chat_id) && payload.chat_id && more.migrate_to_chat_id !== to && waited++ < 5) {
      moved.set(payload.chat_id, more.migrate_to_chat_id);
      continue;
    }
    if (answer.code === 429) {
      const seconds = typeof more.retry_after === 'number' && more.retry_after > 0 ? more.retry_after : 2;
      if (seconds > 300 || waited++ >= 5) throw new Refused(429, answer.description);
      await sleep(seconds * 1000 + 100);
      continue;
    }
    if (answer.code < 500 || failed >= attempts) throw new Refused(answer.code, answer.description);
    await sleep(BACKOFF[failed++]);
  }
}

// Une file par chat : dans l'ordre, et personne n'attend pour les autres.
const queues = new Map();

function put(key, job) {
  let queue = queues.get(key);
  if (!queue) {
    queue = [];
    queues.set(key, queue);
    work(key, queue);
  }
  if (queue.length < 2 * MAX_PENDING) queue.push(job);
  else log('file pleine', key);
}

async function work(key, queue) {
  await null;
  while (queue.length) {
    try {
      await queue.shift()();
    } catch (error) {
      log('pas remis', key, error.code || error.name);
    }
  }
  queues.delete(key);
}

const full = (chat) => (queues.get(chat)?.length || 0) >= MAX_PENDING || queues.size >= MAX_BUSY;
const send = (method, payload) => put(payload.chat_id, () => call(method, payload));
const say = (chat, text, keyboard) =>
  send('sendMessage', { chat_id: chat, text: text.slice(0, 3500), ...(keyboard && { reply_markup: { inline_keyboard: keyboard } }) });
const toast = (query, text, alert = false) =>
  put(`q${query.id}`, () => call('answerCallbackQuery', { callback_query_id: query.id, text, show_alert: alert }, 1));

// ------------------------------------------------------------------ ce qu'on sait

let lastFilm = 0;
const films = new Map(); // numéro -> film
const proposals = new Map(); // numéro -> proposition
let lastProposal = 0;
const seenBy = new Lru(5000); // personne -> Map(film -> note ou 0)
const drawn = new Lru(5000); // personne -> { at, film, told }
const windows = new Lru(5000); // personne -> { since, count, told }
const updates = new Lru(20_000);

const addFilm = (title, year, genre) => films.set(++lastFilm, { id: lastFilm, title, year, genre });
for (const [title, year, genre] of [
  ['Les Vacances de M. Hulot', 1953, 'comédie'],
  ['La Grande Vadrouille', 1966, 'comédie'],
  ['Le Dîner de cons', 1998, 'comédie'],
  ['OSS 117 : Le Caire, nid d’espions', 2006, 'comédie'],
  ['Le Salaire de la peur', 1953, 'thriller'],
  ['Plein soleil', 1960, 'thriller'],
  ['Le Cercle rouge', 1970, 'thriller'],
  ['Ne le dis à personne', 2006, 'thriller'],
  ['Les Enfants du paradis', 1945, 'drame'],
  ['Hiroshima mon amour', 1959, 'drame'],
  ['Les Quatre Cents Coups', 1959, 'drame'],
  ['Portrait de la jeune fille en feu', 2019, 'drame'],
  ['La Planète sauvage', 1973, 'animation'],
  ['Le Roi et l’Oiseau', 1980, 'animation'],
  ['Kirikou et la Sorcière', 1998, 'animation'],
  ['Ma vie de Courgette', 2016, 'animation'],
]) addFilm(title, year, genre);

const genres = () => [...new Set([...films.values()].map((film) => film.genre))];
const label = (film) => `${film.id}. ${film.title} (${film.year}), ${film.genre}`;
const isAdmin = (user) => user.id === ADMIN_ID;

function marks(user) {
  let mine = seenBy.get(user) || new Map();
  seenBy.set(user, mine);
  return mine;
}

function opinion(film) {
  const all = [...seenBy.values()].map((mine) => mine.get(film.id)).filter(Boolean);
  return { votes: all.length, mean: all.length ? all.reduce((sum, one) => sum + one, 0) / all.length : 0 };
}

function draw(user, genre) {
  const last = drawn.get(user)?.film;
  const fits = [...films.values()].filter((film) => !genre || film.genre === genre);
  const mine = seenBy.get(user);
  const fresh = fits.filter((film) => film.id !== last && !mine?.has(film.id));
  const others = fits.filter((film) => film.id !== last);
  const pool = fresh.length ? fresh : others.length ? others : fits;
  return pool.length ? pickOne(pool) : null;
}

const OPENINGS = ['Ce soir :', 'Pourquoi pas', 'Les yeux fermés :', 'Allez,', 'Un classique de la maison :', 'Le sort a parlé :'];
const another = (owner, genre) => [[{ text: 'Un autre', callback_data: `autre:${owner}:${genre || ''}` }, { text: 'Déjà vu', callback_data: 'vu' }]];
const suggestion = (film) => `${pickOne(OPENINGS)} ${label(film)}`;

// Qui tire trop vite l'apprend une fois ; jusqu'à la fin du délai, on se tait ensuite.
function cooling(user) {
  const last = drawn.get(user);
  const left = last ? last.at + COOLDOWN_MS - Date.now() : 0;
  if (left <= 0) return '';
  if (last.told) return 'silence';
  last.told = true;
  return `Doucement, encore ${Math.ceil(left / 1000)} s.`;
}

function tooMany(user) {
  const now = Date.now();
  let window = windows.get(user);
  if (!window || now - window.since > WINDOW_MS) {
    window = { since: now, count: 0, told: false };
    windows.set(user, window);
  }
  window.count += 1;
  return window.count > PER_WINDOW ? window : null;
}

// ------------------------------------------------------------------ les commandes

const HELP = `Cinoche vous trouve un film (25 messages par personne en 10 s, pas plus).
/pioche [genre] - un film au hasard (un tirage toutes les 2 s)
/de - laisse le dé choisir
/genres - les genres
/films [page] - le catalogue
/cherche mots - chercher un titre
/vu N - marquer comme vu (je réagis à votre message)
/avis N note - une note de 1 à 5
/top - les mieux notés
/journal - ce que vous avez vu (toujours en privé)
/oublie - efface ce que je sais de vous
/propose titre (année) genre - proposer un film
/duel - un sondage entre deux films (dans un groupe)
/attente, /retire N, /chiffres - administration
En mode inline : écrivez mon nom et quelques lettres dans n'importe quel chat.`;

const commands = {
  start: ({ chat }) => say(chat, HELP),
  aide: ({ chat }) => say(chat, HELP),
  help: ({ chat }) => say(chat, HELP),

  pioche({ chat, user, rest }) {
    const genre = clean(rest, 20).toLowerCase();
    if (genre && !genres().includes(genre)) return say(chat, `Je ne connais pas ce genre. Il y a : ${genres().join(', ')}.`);
    const wait = cooling(user.id);
    if (wait) return wait === 'silence' || say(chat, wait);
    const film = draw(user.id, genre);
    if (!film) return say(chat, 'Le catalogue est vide.');
    drawn.set(user.id, { at: Date.now(), film: film.id, told: false });
    say(chat, suggestion(film), another(user.id, genre));
  },

  // Le dé est jeté par Telegram : ce qu'il montre n'est connu qu'après.
  de({ chat, user }) {
    const wait = cooling(user.id);
    if (wait) return wait === 'silence' || say(chat, wait);
    drawn.set(user.id, { at: Date.now(), film: 0, told: false });
    put(chat, async () => {
      const sent = await call('sendDice', { chat_id: chat, emoji: '🎲' });
      const value = figure(String(sent?.dice?.value ?? ''), 6) || crypto.randomInt(1, 7);
      const all = [...films.values()];
      const film = all[(value * 7 + crypto.randomInt(3)) % all.length];
      await sleep(800); // le temps que le dé s'arrête de rouler
      if (film) await call('sendMessage', { chat_id: chat, text: `Le dé dit ${value} : ${label(film)}` });
    });
  },

  genres: ({ chat }) => say(chat, `Genres : ${genres().join(', ')}.`),

  films({ chat, rest }) {
    const all = [...films.values()];
    const pages = Math.max(1, Math.ceil(all.length / 10));
    const page = rest ? figure(rest, pages) : 1;
    if (!page) return say(chat, `Il y a ${pages} page(s).`);
    say(chat, [`Catalogue, page ${page}/${pages}`, ...all.slice(10 * page - 10, 10 * page).map(label)].join('\n'));
  },

  cherche({ chat, rest }) {
    const words = clean(rest, 60);
    if (!words) return say(chat, 'Que dois-je chercher ? /cherche soleil');
    search(chat, words);
  },

  vu({ chat, user, rest, message }) {
    const film = films.get(figure(rest, 1e6));
    if (!film) return say(chat, 'Ce numéro n’est pas au catalogue (/films).');
    const mine = marks(user.id);
    if (!mine.has(film.id)) mine.set(film.id, 0);
    react(chat, message, '👍', `Vu : ${film.title}`);
  },

  avis({ chat, user, rest, message }) {
    const [number, note, ...more] = rest.split(/\s+/);
    const film = films.get(figure(number, 1e6));
    const stars = figure(note, 5);
    if (!film || !stars || more.length) return say(chat, 'Usage : /avis N note (1 à 5)');
    marks(user.id).set(film.id, stars);
    react(chat, message, stars >= 4 ? '🔥' : stars >= 2 ? '👌' : '👎', `Noté ${stars}/5 : ${film.title}`);
  },

  top({ chat }) {
    const rated = [...films.values()].map((film) => ({ film, ...opinion(film) })).filter((one) => one.votes);
    rated.sort((a, b) => b.mean - a.mean || b.votes - a.votes);
    const lines = rated.slice(0, 10).map((one) => `${one.mean.toFixed(1)} ★ ${label(one.film)} (${one.votes} avis)`);
    say(chat, lines.length ? lines.join('\n') : 'Personne n’a encore donné son avis.');
  },

  // Ce qu'on a vu ne regarde personne : la réponse part en privé, où qu'on ait demandé.
  journal({ chat, user, isPrivate, rest }) {
    const lines = [...(seenBy.get(user.id) || [])].map(([id, note]) => films.has(id) && `${label(films.get(id))}${note ? ` - ${note}/5` : ''}`);
    const text = lines.filter(Boolean).slice(-30).join('\n') || 'Votre journal est vide.';
    put(user.id, async () => {
      try {
        await call('sendMessage', { chat_id: user.id, text: text.slice(0, 3500) });
      } catch (error) {
        if (!isPrivate && error.code < 500) say(chat, 'Écrivez-moi d’abord en privé, je ne peux pas vous répondre ici.');
        throw error;
      }
    });
  },

  oublie({ chat, user }) {
    seenBy.delete(user.id);
    drawn.delete(user.id);
    say(chat, 'C’est oublié.');
  },

  propose({ chat, user, rest }) {
    const match = /^(.{1,80}?)\s*\(([0-9]{4})\)\s*(\S{1,20})$/u.exec(clean(rest, 120));
    const [, title, year, genre] = match || [];
    if (!match || Number(year) < 1895 || Number(year) > 2100) return say(chat, 'Usage : /propose titre (année) genre');
    if (!genres().includes(genre.toLowerCase())) return say(chat, `Genres possibles : ${genres().join(', ')}.`);
    if (films.size >= 500 || proposals.size >= 200) return say(chat, 'C’est complet pour le moment.');
    if ([...proposals.values()].filter((one) => one.by === user.id).length >= 3) return say(chat, 'Vos trois dernières propositions attendent encore.');
    const id = ++lastProposal;
    proposals.set(id, { id, title, year: Number(year), genre: genre.toLowerCase(), by: user.id });
    say(chat, 'Merci, votre proposition sera lue.');
    if (ADMIN_ID) say(ADMIN_ID, `Proposition ${id} : ${title} (${year}), ${genre}`, decision(id));
  },

  duel({ chat, isPrivate }) {
    if (isPrivate) return say(chat, 'Un duel se joue à plusieurs : dans un groupe.');
    const all = [...films.values()];
    if (all.length < 2) return say(chat, 'Il faut deux films.');
    const first = pickOne(all);
    const second = pickOne(all.filter((film) => film !== first));
    const options = [first, second].map((film) => ({ text: `${film.title} (${film.year})`.slice(0, 100) }));
    send('sendPoll', { chat_id: chat, question: 'Lequel ce soir ?', options, is_anonymous: false });
  },

  attente({ chat, user }) {
    if (!isAdmin(user)) return say(chat, 'Réservé à l’administration.');
    if (!proposals.size) return say(chat, 'Rien en attente.');
    for (const one of [...proposals.values()].slice(0, 5)) say(chat, `Proposition ${one.id} : ${one.title} (${one.year}), ${one.genre}`, decision(one.id));
  },

  retire({ chat, user, rest }) {
    if (!isAdmin(user)) return say(chat, 'Réservé à l’administration.');
    const id = figure(rest, 1e6);
    if (!films.delete(id)) return say(chat, 'Ce numéro n’est pas au catalogue.');
    for (const mine of seenBy.values()) mine.delete(id);
    say(chat, 'Retiré.');
  },

  chiffres({ chat, user }) {
    if (!isAdmin(user)) return say(chat, 'Réservé à l’administration.');
    say(chat, `${films.size} films, ${proposals.size} propositions, ${seenBy.size} journaux.`);
  },
};

const decision = (id) => [[{ text: 'Accepter', callback_data: `oui:${id}` }, { text: 'Refuser', callback_data: `non:${id}` }]];

function react(chat, message, emoji, instead) {
  put(chat, async () => {
    try {
      await call('setMessageReaction', { chat_id: chat, message_id: message.message_id, reaction: [{ type: 'emoji', emoji }] });
    } catch (error) {
      if (error.code >= 500 || error.code === 403) throw error;
      await call('sendMessage', { chat_id: chat, text: instead }); // dans ce groupe les réactions sont interdites
    }
  });
}

function matching(words) {
  const plain = (text) => text.normalize('NFD').replace(/\p{M}/gu, '').toLowerCase();
  return [...films.values()].filter((film) => plain(`${film.title} ${film.year} ${film.genre}`).includes(plain(words)));
}

function search(chat, words) {
  const found = matching(words);
  say(chat, found.length ? [`« ${words} » :`, ...found.slice(0, 10).map(label)].join('\n') : `Rien au catalogue pour « ${words} ».`);
}

// ------------------------------------------------------------------ les mises à jour

function onMessage(message) {
  const { from: user, chat: where } = message;
  if (isId(message.migrate_to_chat_id)) moved.set(where.id, message.migrate_to_chat_id);
  if (!isObject(user) || !isId(user.id) || user.is_bot === true || isObject(message.sender_chat) || isObject(message.via_bot)) return;
  if (typeof message.text !== 'string') {
    if (where.type === 'private' && message.message_id) say(where.id, 'Je ne lis que du texte. /aide');
    return;
  }
  const isPrivate = where.type === 'private';
  const match = /^\/([a-z]{1,20})(?:@\w{1,64})?(?:\s+([^]*))?$/i.exec(message.text);
  if (!match && !isPrivate) return;
  const name = match ? match[1].toLowerCase() : '';
  const known = Object.hasOwn(commands, name);
  if (match && !known && !isPrivate) return; // sans doute pour un autre bot
  const window = tooMany(user.id);
  if (window) {
    if (!window.told) say(where.id, 'Trop de messages : je fais une pause de quelques secondes avec vous.');
    window.told = true;
    return;
  }
  if (known) commands[name]({ chat: where.id, user, isPrivate, rest: (match[2] || '').trim().slice(0, 500), message });
  else if (match || message.text.startsWith('/')) say(where.id, 'Je ne connais pas cette commande. /aide');
  else if (clean(message.text, 60)) search(where.id, clean(message.text, 60)); // en privé, un mot tout seul est une recherche
}

function onButton(query) {
  const { from: user, message } = query;
  const data = typeof query.data === 'string' ? query.data : '';
  const chat = isObject(message) && isObject(message.chat) && isId(message.chat.id) ? message.chat.id : 0;
  const edit = (text, keyboard) => {
    const target = chat ? { chat_id: chat, message_id: message.message_id } : { inline_message_id: query.inline_message_id };
    if (!chat && typeof query.inline_message_id !== 'string') return;
    const payload = { ...target, text, ...(keyboard && { reply_markup: { inline_keyboard: keyboard } }) };
    put(chat || `i${query.inline_message_id}`, () =>
      call('editMessageText', payload, 2).catch((error) => {
        if (!/not modified/.test(error.description)) throw error;
      }),
    );
  };
  let match;
  if ((match = /^autre:([0-9]{1,16}):(\S{0,20})$/.exec(data))) {
    if (Number(match[1]) !== user.id) return toast(query, 'C’est le tirage de quelqu’un d’autre : faites /pioche.', true);
    const wait = cooling(user.id);
    if (wait) return toast(query, wait === 'silence' ? '' : wait); // le bouton doit cesser de tourner
    const film = draw(user.id, genres().includes(match[2]) ? match[2] : '');
    if (!film) return toast(query, 'Le catalogue est vide.');
    drawn.set(user.id, { at: Date.now(), film: film.id, told: false });
    toast(query, '');
    edit(suggestion(film), another(user.id, match[2]));
  } else if (data === 'vu') {
    const film = films.get(drawn.get(user.id)?.film);
    if (!film) return toast(query, 'Tirez d’abord un film : /pioche');
    if (!marks(user.id).has(film.id)) marks(user.id).set(film.id, 0);
    toast(query, `Vu : ${film.title}`.slice(0, 190));
  } else if ((match = /^(oui|non):([0-9]{1,9})$/.exec(data))) {
    if (!isAdmin(user)) return toast(query, 'Réservé à l’administration.', true);
    const one = proposals.get(Number(match[2]));
    if (!one) return toast(query, 'Déjà décidé.');
    proposals.delete(one.id);
    if (match[1] === 'oui') addFilm(one.title, one.year, one.genre);
    const verdict = match[1] === 'oui' ? 'acceptée' : 'refusée';
    toast(query, `Proposition ${verdict}.`);
    edit(`${one.title} (${one.year}) : ${verdict}`);
    say(one.by, `Votre proposition « ${one.title} » est ${verdict}.`);
  } else {
    toast(query, 'Ce bouton n’existe plus.');
  }
}

// En mode inline il n'y a pas de chat : on répond à la requête elle-même.
function onInline(query) {
  const words = clean(typeof query.query === 'string' ? query.query : '', 60);
  const found = words ? matching(words).slice(0, 10) : [draw(query.from.id, '')].filter(Boolean);
  const results = found.map((film) => ({
    type: 'article',
    id: `${film.id}-${crypto.randomInt(1e6)}`,
    title: film.title,
    description: `${film.year}, ${film.genre}`,
    input_message_content: { message_text: suggestion(film) },
  }));
  put(`n${query.from.id}`, () => call('answerInlineQuery', { inline_query_id: query.id, results, cache_time: 1, is_personal: true }, 1));
}

// Ce qui n'a pas la forme que Telegram donne est refusé ; ce qu'on ne connaît pas est ignoré.
function shape(update) {
  const { message, callback_query: button, inline_query: inline } = update;
  if (message !== undefined) return isObject(message) && isObject(message.chat) && isId(message.chat.id) && Number.isSafeInteger(message.message_id);
  const query = button ?? inline;
  if (query !== undefined) return isObject(query) && typeof query.id === 'string' && query.id !== '' && isObject(query.from) && isId(query.from.id);
  return true;
}

function handle(update) {
  if (update.message) return onMessage(update.message);
  if (update.callback_query) return update.callback_query.from.is_bot === true || onButton(update.callback_query);
  if (update.inline_query) return onInline(update.inline_query);
}

// ------------------------------------------------------------------ le serveur

const digest = (text) => crypto.createHash('sha256').update(text).digest();

const server = http.createServer((request, response) => {
  const end = (code, headers = {}) => {
    if (response.writableEnded) return;
    response.writeHead(code, { 'Content-Length': 0, ...headers }).end();
  };
  if (request.url.split('?')[0] !== PATH) return request.resume(), end(404);
  if (request.method !== 'POST') return request.resume(), end(405, { Allow: 'POST' });
  const given = request.headers['x-telegram-bot-api-secret-token'];
  if (typeof given !== 'string' || !crypto.timingSafeEqual(digest(given), digest(SECRET))) return request.resume(), end(401);
  const parts = [];
  let size = 0;
  request.on('error', () => {});
  request.on('data', (part) => {
    size += part.length;
    if (size <= MAX_BODY) parts.push(part);
    else end(413, { Connection: 'close' });
  });
  request.on('end', () => {
    if (response.writableEnded) return;
    let update;
    try {
      update = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(parts)));
    } catch {
      return end(400);
    }
    if (!isObject(update) || !Number.isSafeInteger(update.update_id) || !shape(update)) return end(400);
    if (updates.has(update.update_id)) return end(200);
    if (full(update.message?.chat.id)) return end(503, { 'Retry-After': '5' });
    updates.set(update.update_id, true);
    end(200);
    try {
      handle(update);
    } catch (error) {
      log('une mise à jour', error.stack);
      if (update.message) say(update.message.chat.id, 'Quelque chose a mal tourné. Réessayez.');
    }
  });
});
server.requestTimeout = 15_000;
server.headersTimeout = 10_000;
server.keepAliveTimeout = 30_000;
process.on('SIGTERM', async () => {
  server.close();
  for (let n = 0; queues.size && n < 40; n++) await sleep(100);
  process.exit(0);
});
server.listen(PORT, '127.0.0.1');
