// Hilfedesk: a support desk with tickets in German, on Telegraf. Users open tickets, the team answers by replying to them in its group;
// tickets can be shared with a colleague by a code. The webhook is answered when an update is done, after two seconds at the latest.
'use strict'
const http = require('node:http')
const { createHash, randomBytes, timingSafeEqual } = require('node:crypto')
const { Telegraf, Telegram, TelegramError, Context, Markup } = require('telegraf')

const { PORT = '8080', WEBHOOK_PATH = '/webhook', SECRET = '', BOT_TOKEN = '1:x', BOT_API = 'https://api.telegram.org' } = process.env
const ADMIN_ID = Number(process.env.ADMIN_ID ?? 0), BOT_ID = Number(BOT_TOKEN.split(':')[0])
const MAX_BODY = 1 << 20, MAX_WAITING = 200, MAX_TICKETS = 3000, MAX_OPEN = 15, MAX_NOTES = 40, MAX_SHARED = 5, PER_MINUTE = 20
const BACKOFF = [500, 1000, 2000, 4000, 8000, 16000]
const MEDIA = ['photo', 'video', 'animation', 'sticker', 'voice', 'audio', 'document', 'video_note', 'location', 'contact', 'poll']
const log = (...words) => console.error(new Date().toISOString(), ...words)
const sleep = ms => new Promise(resolve => setTimeout(resolve, ms))
const isId = value => Number.isSafeInteger(value) && value !== 0
const isObject = value => typeof value === 'object' && value !== null && !Array.isArray(value)
const clean = (text, limit) => text.slice(0, limit).replace(/[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\u202a-\u202e\u2066-\u2069]+/gu, ' ').trim()

class Lru extends Map { // forgets what was set first
  constructor (limit) { super(); this.limit = limit }
  set (key, value) {
    this.delete(key); super.set(key, value)
    if (this.size > this.limit) this.delete(this.keys().next().value)
    return this
  }
}

// ---- lanes and the Bot API
const lanes = new Map(), moved = new Lru(1000), quietUntil = new Lru(5000)
function inLane (key, job) {
  const mine = (lanes.get(key)?.tail ?? Promise.resolve()).then(job, job)
  lanes.set(key, { tail: mine, length: (lanes.get(key)?.length ?? 0) + 1 })
  const done = () => { const now = lanes.get(key); if (now.tail === mine) lanes.delete(key); else now.length-- }
  mine.then(done, done)
  return mine
}

class PatientTelegram extends Telegram {
  callApi (method, payload) {
    if (payload?.chat_id === undefined) return this.patiently(method, payload ?? {}, BACKOFF.slice(0, 2))
    return inLane(`out ${payload.chat_id}`, () => this.patiently(method, payload, BACKOFF))
  }

  async once (method, payload) {
    const stop = new AbortController(), timer = setTimeout(() => stop.abort(), 8000)
    try { return await super.callApi(method, payload, { signal: stop.signal }) } finally { clearTimeout(timer); stop.abort() }
  }

  async patiently (method, payload, backoff) {
    for (let tries = 0, waits = 0; ;) {
      if (moved.has(payload.chat_id)) payload = { ...payload, chat_id: moved.get(payload.chat_id) }
      const key = payload.chat_id ?? method, pause = (quietUntil.get(key) ?? 0) - Date.now()
      if (pause > 300_000) throw new TelegramError({ error_code: 429, description: 'Too Many Requests: waiting is no use' })
      if (pause > 0) await sleep(pause)
      try { return await this.once(method, payload) } catch (error) {
        const known = error instanceof TelegramError && Number.isInteger(error.code), code = known ? error.code : 599
        const { migrate_to_chat_id: target, retry_after: wait } = known && isObject(error.parameters) ? error.parameters : {}
        if (code === 429) quietUntil.set(key, Date.now() + 1000 * (wait > 0 ? wait : 1) + 100)
        if (isId(target) && target !== payload.chat_id && waits++ < 5) {
          moved.delete(target); moved.set(payload.chat_id, target)
          migrate(payload.chat_id, target)
        } else if (code === 429 && waits++ < 5) continue
        else if (code >= 500 && tries < backoff.length) await sleep(backoff[tries++] * (0.9 + 0.2 * Math.random()))
        else throw known ? error : new TelegramError({ error_code: 599, description: error.name })
      }
    }
  }
}
const api = new PatientTelegram(BOT_TOKEN, { apiRoot: BOT_API.replace(/\/+$/, '') })
class PatientContext extends Context { constructor (update, telegram, me) { super(update, api, me) } }
const bot = new Telegraf(BOT_TOKEN, { contextType: PatientContext, handlerTimeout: Infinity })
bot.botInfo = { id: BOT_ID, is_bot: true, first_name: 'Hilfedesk', username: '' }

let underWay = 0
async function tell (chat, text, buttons) { // gives the message, or nothing where it could not be told
  if (underWay >= 5000) return log('too many messages under way')
  underWay++
  try { return await api.sendMessage(chat, text, buttons) } catch (error) { log('not told:', error.code, error.description) } finally { underWay-- }
}

// ---- tickets
const tickets = new Map(), sessions = new Lru(5000), names = new Lru(10_000), hits = new Lru(5000), team = new Set(), posts = new Lru(10_000)
const codes = new Map() // share code -> ticket
let lastTicket = 0, staffChat = ADMIN_ID, maintenance = false
const migrate = (from, to) => { if (staffChat === from) staffChat = to }
const isStaff = (user, chat) => user === ADMIN_ID || team.has(user) || (chat === staffChat && chat < 0)
const maySee = (one, user, chat) => one.owner === user || one.shared.has(user) || isStaff(user, chat)
const head = one => `Ticket #${one.id} (${one.open ? 'offen' : 'geschlossen'}): ${one.subject}`
const find = word => /^#?[0-9]{1,9}$/.test(word) ? tickets.get(Number(word.replace('#', ''))) : undefined
const mine = user => [...tickets.values()].filter(one => one.owner === user || one.shared.has(user))
const NONE = 'Dieses Ticket gibt es nicht, oder es ist nicht Ihres.'

function show (one) {
  const notes = one.notes.slice(-4).map(note => `${note.staff ? 'Team' : note.by}: ${note.text}`)
  return [head(one), `von ${one.by}${one.rating ? `, Bewertung ${one.rating}` : ''}`, ...notes].join('\n')
}
function toStaff (one, text) { // the team answers by replying to this
  const chat = staffChat
  tell(chat, `${head(one)}\n${text}`).then(message => isId(message?.message_id) && posts.set(`${chat}:${message.message_id}`, one.id))
}
function open (user, subject, text) {
  if (mine(user).filter(one => one.owner === user && one.open).length >= MAX_OPEN) return `Sie haben schon ${MAX_OPEN} offene Tickets. Bitte schließen Sie erst eines.`
  if (tickets.size >= MAX_TICKETS) {
    const old = [...tickets.values()].find(one => !one.open)
    if (!old) return 'Zurzeit sind zu viele Tickets offen. Bitte versuchen Sie es später.'
    tickets.delete(old.id); codes.delete(old.code)
  }
  const one = { id: ++lastTicket, owner: user, by: names.get(user), subject, open: true, notes: [{ by: names.get(user), text }], shared: new Set(), code: undefined, rating: 0 }
  tickets.set(one.id, one)
  toStaff(one, `${one.by}: ${text}\n(Antworten Sie auf diese Nachricht.)`)
  return `${head(one)}\nDas Team meldet sich hier.`
}
function note (one, user, text, staff) {
  if (!one.open) return `Ticket #${one.id} ist geschlossen. Mit /neu öffnen Sie ein neues.`
  if (!text) return `So geht es: /antwort ${one.id} Text`
  if (one.notes.length >= MAX_NOTES) one.notes.shift()
  one.notes.push({ by: names.get(user), text, staff })
  for (const other of new Set([one.owner, ...one.shared])) if (other !== user) tell(other, `${head(one)}\n${staff ? 'Das Team' : names.get(user)} schreibt: ${text}`)
  if (!staff) toStaff(one, `${names.get(user)}: ${text}`)
  return `Ihre Nachricht steht in Ticket #${one.id}.`
}
function close (one, user, staff) {
  if (one.owner !== user && !staff) return 'Nur wer das Ticket geöffnet hat und das Team können es schließen.'
  if (!one.open) return `Ticket #${one.id} ist schon geschlossen.`
  one.open = false
  codes.delete(one.code)
  const stars = Markup.inlineKeyboard([1, 2, 3, 4, 5].map(n => Markup.button.callback(`${n} ★`, `rate:${one.id}:${n}`)))
  tell(one.owner, `${head(one)}\nWie zufrieden sind Sie?`, stars)
  for (const other of one.shared) if (other !== user) tell(other, head(one))
  if (!staff) toStaff(one, 'Geschlossen.')
  return `Ticket #${one.id} ist geschlossen.`
}
function rate (one, user, stars) {
  if (one.owner !== user) return 'Bewerten kann nur, wer das Ticket geöffnet hat.'
  if (one.open || one.rating) return one.open ? 'Das Ticket ist noch offen.' : 'Sie haben schon bewertet.'
  one.rating = stars
  toStaff(one, `Bewertung: ${stars} ★`)
  return `Danke für Ihre Bewertung: ${stars} ★`
}
function share (one, user) {
  if (one.owner !== user) return 'Teilen kann nur, wer das Ticket geöffnet hat.'
  if (!one.open) return `Ticket #${one.id} ist geschlossen.`
  if (!one.code) codes.set(one.code = randomBytes(5).toString('hex'), one)
  return `Ihr Kollege schreibt mir: /beitreten ${one.code}`
}
function join (user, code) {
  const one = codes.get(code)
  if (!one) return 'Diesen Code kenne ich nicht.'
  if (one.owner === user || one.shared.has(user)) return 'Das Ticket sehen Sie schon.'
  if (one.shared.size >= MAX_SHARED) return `Ein Ticket kann mit höchstens ${MAX_SHARED} Kollegen geteilt werden.`
  one.shared.add(user)
  tell(one.owner, `${names.get(user)} liest jetzt in Ticket #${one.id} mit.`)
  return show(one)
}
function limited (user) { // how many seconds a user must wait, 0 for none
  const now = Date.now(), recent = (hits.get(user) ?? []).filter(at => now - at < 60_000)
  if (user !== ADMIN_ID && recent.length >= PER_MINUTE) return Math.ceil((recent[0] + 60_000 - now) / 1000)
  hits.set(user, [...recent, now])
  return 0
}

const HELP = `Willkommen beim Hilfedesk.
/neu - ein Ticket öffnen
/tickets - Ihre Tickets
/ticket Nr - ein Ticket ansehen
/antwort Nr Text - etwas zu einem Ticket schreiben
/schliessen Nr - ein Ticket schließen
/teilen Nr - einen Kollegen mitlesen lassen
/beitreten Code - in einem Ticket mitlesen
/verlassen Nr - nicht mehr mitlesen
/abbrechen - was Sie gerade tun
Höchstens ${PER_MINUTE} Nachrichten pro Minute.
Für das Team: auf ein Ticket antworten, /offen
Für den Admin: /stab (in der Gruppe des Teams), /team, /team_dazu id, /team_weg id, /wartung an|aus, /statistik`

// ---- what people say and press
const key = ctx => `${ctx.chat.id}:${ctx.from.id}`
const isPrivate = ctx => ctx.chat.type === 'private'
const inPrivate = act => ctx => ctx.reply(isPrivate(ctx) ? act(ctx, ctx.from.id) : 'Das machen wir besser unter uns: Schreiben Sie mir privat.')
const admin = act => ctx => ctx.reply(ctx.from.id === ADMIN_ID ? act(ctx, ctx.payload.trim()) : 'Das ist nur für den Admin.')
const userOf = word => /^[0-9]{1,15}$/.test(word) ? Number(word) : 0
const withTicket = act => ctx => { // in private, and in the team's group
  const [, word = '', rest = ''] = /^\s*(\S*)\s*([^]*)$/.exec(ctx.payload), one = find(word), chat = ctx.chat.id
  if (!isPrivate(ctx) && chat !== staffChat) return ctx.reply('Das machen wir besser unter uns: Schreiben Sie mir privat.')
  return ctx.reply(one && maySee(one, ctx.from.id, chat) ? act(one, ctx.from.id, clean(rest, 800), isStaff(ctx.from.id, chat)) : NONE)
}

const COMMANDS = ['start', 'help', ...[...HELP.matchAll(/\/([a-z_]+)/g)].map(each => each[1])]
const anonymous = ctx => ctx.message?.anonymous
function ours (ctx) { // whether a text is a command for this bot
  const [, name, to] = /^\/([a-z_]{1,32})(?:@(\w+))?(?:\s|$)/.exec(ctx.message?.text ?? '') ?? []
  return COMMANDS.includes(name) && (!to || to.toLowerCase() === ctx.me.toLowerCase())
}
bot.command(COMMANDS, (ctx, next) => anonymous(ctx) ? ctx.reply('Bitte schreiben Sie unter Ihrem eigenen Namen.') : next())
bot.use((ctx, next) => {
  if (anonymous(ctx)) return
  names.set(ctx.from.id, clean(ctx.from.first_name, 40) || 'jemand')
  const said = ctx.message
  if (said && !isPrivate(ctx) && !ours(ctx) && !(ctx.chat.id === staffChat && said.reply.id)) return // the talk of groups
  if (said && said.text === undefined && !said.media) return
  const wait = said ? limited(ctx.from.id) : 0
  if (wait) return ctx.reply(`Das war zu schnell: Höchstens ${PER_MINUTE} Nachrichten pro Minute. Bitte warten Sie ${wait} Sekunden; diese Nachricht wurde nicht bearbeitet.`)
  return next()
})
bot.command(['start', 'hilfe', 'help'], ctx => ctx.reply(HELP))
bot.command(COMMANDS, (ctx, next) => maintenance && !isStaff(ctx.from.id, ctx.chat.id) ? ctx.reply('Wir machen gerade Wartungsarbeiten. Bitte versuchen Sie es später.') : next())
bot.command('wartung', admin((ctx, word) => {
  if (word !== 'an' && word !== 'aus') return `Wartung ist ${maintenance ? 'an' : 'aus'}. So geht es: /wartung an|aus`
  maintenance = word === 'an'
  return `Die Wartung ist ${word}.`
}))
bot.command('neu', inPrivate(ctx => { sessions.set(key(ctx), { step: 'subject' }); return 'Worum geht es? Bitte ein kurzer Betreff. (/abbrechen)' }))
bot.command('abbrechen', ctx => ctx.reply(sessions.delete(key(ctx)) ? 'Abgebrochen.' : 'Es gibt nichts abzubrechen.'))
bot.command('tickets', inPrivate((ctx, user) => mine(user).slice(-15).map(head).join('\n') || 'Sie haben keine Tickets. Mit /neu öffnen Sie eines.'))
bot.command('ticket', withTicket(show))
bot.command('antwort', withTicket((one, user, text, staff) => note(one, user, text, staff && one.owner !== user && !one.shared.has(user))))
bot.command('schliessen', withTicket((one, user, text, staff) => close(one, user, staff && one.owner !== user)))
bot.command('teilen', inPrivate((ctx, user) => { const one = find(ctx.payload.trim()); return one && maySee(one, user) ? share(one, user) : NONE }))
bot.command('beitreten', inPrivate((ctx, user) => join(user, ctx.payload.trim().toLowerCase())))
bot.command('verlassen', inPrivate((ctx, user) => find(ctx.payload.trim())?.shared.delete(user) ? 'Sie lesen nicht mehr mit.' : NONE))
bot.command('offen', ctx => {
  if (!isStaff(ctx.from.id, ctx.chat.id)) return ctx.reply('Das ist nur für das Team.')
  if (!isPrivate(ctx) && ctx.chat.id !== staffChat) return ctx.reply('Nur privat oder in der Gruppe des Teams.')
  return ctx.reply([...tickets.values()].filter(one => one.open).slice(-15).map(head).join('\n') || 'Kein Ticket ist offen.')
})
bot.command('stab', admin(ctx => { if (isPrivate(ctx)) staffChat = ADMIN_ID; else staffChat = ctx.chat.id; return isPrivate(ctx) ? 'Tickets kommen jetzt zu Ihnen.' : 'Tickets kommen jetzt in diese Gruppe. Wer hier schreibt, gehört zum Team.' }))
bot.command('team', admin(() => [...team].map(user => `${names.get(user) ?? 'jemand'} (${user})`).join('\n') || 'Niemand ist einzeln im Team.'))
bot.command('team_dazu', admin((ctx, word) => !userOf(word) ? 'So geht es: /team_dazu id' : team.size >= 50 ? 'Das Team ist voll.' : team.add(userOf(word)) && `${word} gehört jetzt zum Team.`))
bot.command('team_weg', admin((ctx, word) => team.delete(userOf(word)) ? `${word} gehört nicht mehr zum Team.` : 'Den gibt es nicht im Team.'))
bot.command('statistik', admin(() => {
  const all = [...tickets.values()], rated = all.filter(one => one.rating)
  return `Tickets: ${all.length}, offen: ${all.filter(one => one.open).length}, Bewertung: ${rated.length ? (rated.reduce((sum, one) => sum + one.rating, 0) / rated.length).toFixed(1) : 'keine'}`
}))

bot.on('message', ctx => {
  const { text, reply } = ctx.message, user = ctx.from.id, chat = ctx.chat.id, staff = isStaff(user, chat)
  const hint = said => isPrivate(ctx) ? ctx.reply(said) : undefined
  if (text?.startsWith('/')) return hint('Diesen Befehl kenne ich nicht. /hilfe')
  if (maintenance && !staff) return hint('Wir machen gerade Wartungsarbeiten. Bitte versuchen Sie es später.')
  const session = sessions.get(key(ctx)), answered = tickets.get(posts.get(`${chat}:${reply?.id}`) ?? reply?.ticket)
  if (chat === staffChat && staff && answered) return ctx.reply(text === undefined ? 'Bitte antworten Sie mit Text.' : note(answered, user, clean(text, 800), true))
  if (text === undefined) return hint('Ich verstehe nur Text.')
  if (!isPrivate(ctx)) return
  const said = clean(text, session?.step === 'subject' ? 80 : 800)
  if (!said) return ctx.reply('Bitte schreiben Sie etwas Text.')
  if (session?.step === 'subject') { sessions.set(key(ctx), { step: 'text', subject: said }); return ctx.reply('Bitte beschreiben Sie das Problem.') }
  if (session) { sessions.delete(key(ctx)); return ctx.reply(open(user, session.subject, said)) }
  const current = mine(user).filter(one => one.open)
  if (current.length === 1) return ctx.reply(note(current[0], user, said, false))
  return ctx.reply(current.length ? 'Sie haben mehrere offene Tickets. Bitte mit /antwort Nr Text.' : 'Mit /neu öffnen Sie ein Ticket, /hilfe zeigt alles.')
})
bot.on('callback_query', ctx => {
  const [, id, stars] = /^rate:([0-9]{1,9}):([1-5])$/.exec(ctx.callbackQuery.data) ?? [], one = find(id ?? '')
  const text = maintenance && !isStaff(ctx.from.id) ? 'Wir machen gerade Wartungsarbeiten.' : !id ? 'Diesen Knopf kenne ich nicht.' : one ? rate(one, ctx.from.id, Number(stars)) : NONE
  ctx.answerCbQuery(text).catch(error => log('button:', error.code))
  return ctx.reply(text)
})
bot.catch(error => { throw error })

// ---- the webhook
function distil (update) { // only what is used, and only if it is what it should be; nothing where there is nothing to do
  const query = isObject(update.callback_query) ? update.callback_query : undefined, message = query ? query.message : update.message
  const from = (query ?? message)?.from, id = update.update_id
  if (!isObject(from) || !isId(from.id) || from.id < 0) return
  const who = { id: from.id, is_bot: false, first_name: typeof from.first_name === 'string' ? from.first_name : '' }
  const place = isObject(message?.chat) && isId(message.chat.id) && ['private', 'group', 'supergroup'].includes(message.chat.type) ? message.chat : undefined
  const chat = { id: place?.id ?? who.id, type: place?.type ?? 'private' }
  if (query) {
    if (typeof query.id !== 'string' || typeof query.data !== 'string') return
    return { update_id: id, callback_query: { id: query.id, from: who, chat_instance: '1', data: query.data, message: { message_id: 0, date: 0, chat } } }
  }
  const hidden = isObject(message.sender_chat), text = typeof message.text === 'string' ? message.text : undefined
  if (!place || (from.is_bot === true && !hidden)) return
  if (isId(message.migrate_to_chat_id)) return void migrate(chat.id, message.migrate_to_chat_id)
  const entities = (Array.isArray(message.entities) ? message.entities : []).filter(one => isObject(one) && one.type === 'bot_command' && one.offset === 0 && Number.isSafeInteger(one.length))
  const to = isObject(message.reply_to_message) ? message.reply_to_message : {}, ticket = /^Ticket #([0-9]{1,9}) /.exec(typeof to.text === 'string' ? to.text : '')
  const reply = { id: isId(to.message_id) ? to.message_id : undefined, ticket: to.from?.id === BOT_ID && ticket ? Number(ticket[1]) : undefined }
  return { update_id: id, message: { message_id: 0, date: 0, chat, from: who, anonymous: hidden, reply, media: MEDIA.some(kind => kind in message), ...text === undefined ? {} : { text, entities } } }
}

const sorry = new Set()
async function work (update, chat) {
  try { await bot.handleUpdate(update) } catch (error) {
    const code = error instanceof TelegramError ? error.code : 0
    log('update', update.update_id, code || error.stack)
    if ([401, 403, 404].includes(code) || sorry.has(chat)) return
    sorry.add(chat)
    setTimeout(() => { sorry.delete(chat); tell(chat, 'Leider konnte ich Ihnen nicht antworten. Bitte versuchen Sie es noch einmal.') }, code >= 429 ? 20_000 : 0)
  }
}

const digest = text => createHash('sha256').update(text).digest(), updates = new Lru(20_000)
const options = { requestTimeout: 15_000, headersTimeout: 10_000, connectionsCheckingInterval: 5000, keepAliveTimeout: 65_000 }
http.createServer(options, (req, res) => {
  const end = (status, headers) => { if (!res.headersSent) res.writeHead(status, headers).end() }
  if (req.url.split('?')[0] !== WEBHOOK_PATH) return end(404)
  if (req.method !== 'POST') return end(405, { allow: 'POST' })
  if (!timingSafeEqual(digest(req.headers['x-telegram-bot-api-secret-token'] ?? ''), digest(SECRET))) return end(401, { connection: 'close' })
  const chunks = []
  let size = 0
  req.on('error', () => end(400)).on('data', chunk => { if ((size += chunk.length) > MAX_BODY) { chunks.length = 0; end(413) } else chunks.push(chunk) }).on('end', () => {
    if (res.headersSent) return
    let update
    try { update = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks))) } catch { return end(400) }
    if (!isObject(update) || !Number.isSafeInteger(update.update_id)) return end(400)
    if (updates.has(update.update_id)) return end(200)
    const small = distil(update), chat = (small?.message ?? small?.callback_query?.message)?.chat.id
    if (!small) return end(200)
    if (lanes.get(`in ${chat}`)?.length >= MAX_WAITING || lanes.size > 20_000) return end(429, { 'retry-after': '5' })
    updates.set(update.update_id, true)
    const late = setTimeout(() => end(200), 2000)
    inLane(`in ${chat}`, () => work(small, chat)).finally(() => { clearTimeout(late); end(200) })
  })
}).listen(Number(PORT), '127.0.0.1')

async function learnName () { // only /command@name needs it
  for (let wait = 1000; bot.botInfo.username === ''; wait = Math.min(2 * wait, 60_000)) {
    try { const me = await api.getMe(); if (typeof me?.username === 'string') bot.botInfo = me } catch (error) { log('getMe:', error.code) }
    if (bot.botInfo.username === '') await sleep(wait)
  }
}
learnName()
process.on('unhandledRejection', error => log('unhandled:', error))
