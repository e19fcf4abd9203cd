// Lost and found in the neighbourhood: a public board on grammY. Anybody may answer a listing, its owner closes it, moderators hide it.
// The webhook is acknowledged at once; each chat has a lane for what comes in and a lane for what goes out.
'use strict'
const http = require('node:http')
const { createHash, randomBytes, timingSafeEqual } = require('node:crypto')
const { Bot, GrammyError, InlineKeyboard } = require('grammy')

const { PORT = '8080', WEBHOOK_PATH = '/webhook', SECRET = '', BOT_TOKEN = '1:x', BOT_API = 'https://api.telegram.org' } = process.env
const ADMIN_ID = Number(process.env.ADMIN_ID ?? 0)
const MAX_BODY = 1 << 20, MAX_WAITING = 200, MAX_LISTINGS = 2000, MAX_OWN = 25, MAX_ANSWERS = 30, PAGE = 8
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

const bot = new Bot(BOT_TOKEN, {
  client: { apiRoot: BOT_API.replace(/\/+$/, ''), timeoutSeconds: 8 },
  botInfo: { id: Number(BOT_TOKEN.split(':')[0]), is_bot: true, first_name: 'Board', username: '' }
})
async function patiently (prev, method, payload, signal, backoff) {
  for (let tries = 0, waits = 0; ;) {
    if (moved.has(payload.chat_id)) payload = { ...payload, chat_id: moved.get(payload.chat_id) }
    const key = payload.chat_id ?? method, pause = (quietUntil.get(key) ?? 0) - Date.now()
    if (pause > 300_000) return { ok: false, error_code: 429, description: 'Too Many Requests: waiting is no use' }
    if (pause > 0) await sleep(pause)
    const answer = await prev(method, payload, signal).catch(error => ({ description: error.name }))
    if (answer?.ok === true) return answer
    const code = Number.isInteger(answer?.error_code) ? answer.error_code : 599
    const { migrate_to_chat_id: target, retry_after: wait } = isObject(answer?.parameters) ? answer.parameters : {}
    if (isId(target) && target !== payload.chat_id && waits++ < 5) { moved.delete(target); moved.set(payload.chat_id, target); continue }
    if (code === 429) quietUntil.set(key, Date.now() + 1000 * (wait > 0 ? wait : 1) + 100)
    if (code === 429 && waits++ < 5) continue
    if (code < 500 || tries >= backoff.length) return { ok: false, error_code: code, description: String(answer?.description).slice(0, 200) }
    await sleep(backoff[tries++] * (0.9 + 0.2 * Math.random()))
  }
}
bot.api.config.use((prev, method, payload, signal) => payload?.chat_id === undefined
  ? patiently(prev, method, payload ?? {}, signal, BACKOFF.slice(0, 2))
  : inLane(`out ${payload.chat_id}`, () => patiently(prev, method, payload, signal, BACKOFF)))

let underWay = 0
const keys = (...pairs) => pairs.length ? { reply_markup: pairs.reduce((keyboard, [label, data]) => keyboard.text(label, data), new InlineKeyboard()) } : undefined
function tell (chat, text, other) { // nobody waits for it
  if (underWay >= 5000) return log('too many messages under way')
  underWay++
  bot.api.sendMessage(chat, text, other).catch(error => log('not told:', error.error_code, error.description)).finally(() => underWay--)
}

// ---- the board
const listings = new Map(), sessions = new Lru(5000), names = new Lru(10_000), mods = new Set()
let lastListing = 0, lastAnswer = 0
const isMod = user => user === ADMIN_ID || mods.has(user)
const visible = (one, user) => one.status === 'open' && (!one.hidden || one.owner === user || isMod(user))
const find = word => /^#?[0-9]{1,9}$/.test(word) ? listings.get(Number(word.replace('#', ''))) : undefined
const headTail = text => { const [head, ...tail] = text.trim().split(/\s+/); return [head, tail.join(' ')] }
const line = one => `#${one.id} ${one.kind}: ${one.title} (${one.place})${one.hidden ? ' [hidden]' : ''}`
const byAnswer = id => [...listings.values()].find(one => one.answers.some(answer => answer.id === id))
const number = word => /^[0-9]{1,15}$/.test(word) ? Number(word) : 0
function seen (word, user) { // a listing that this user may see
  const one = find(word)
  return one && (visible(one, user) || one.owner === user || isMod(user)) ? one : undefined
}
function card (one, user) {
  const open = one.status === 'open', buttons = []
  if (open && one.owner !== user) buttons.push(['Answer', `ans:${one.id}`], ['Report', `rep:${one.id}`])
  if (open && one.owner === user) buttons.push(['Close', `close:${one.id}`])
  if (isMod(user)) buttons.push(one.hidden ? ['Show again', `show:${one.id}`] : ['Hide', `hide:${one.id}`])
  return [`${line(one)}\nBy ${one.by}. Status: ${one.status}. Answers: ${one.answers.length}\nAnswer with /answer ${one.id} your text`, keys(...buttons)]
}
function board (user, page) {
  const all = [...listings.values()].filter(one => visible(one, user)).reverse()
  const last = Math.max(1, Math.ceil(all.length / PAGE)), now = Math.min(Math.max(page, 1), last)
  const buttons = [...now > 1 ? [['« Newer', `board:${now - 1}`]] : [], ...now < last ? [['Older »', `board:${now + 1}`]] : []]
  const text = all.slice((now - 1) * PAGE, now * PAGE).map(line).join('\n') || 'The board is empty. Post with /lost or /found.'
  return [`Board, page ${now} of ${last}\n${text}`, keys(...buttons)]
}
function publish (user, { kind, title, place }) {
  if ([...listings.values()].filter(one => one.owner === user && one.status === 'open').length >= MAX_OWN) return `You have ${MAX_OWN} open listings. Please close one first.`
  if (listings.size >= MAX_LISTINGS) {
    const old = [...listings.values()].find(one => one.status === 'closed' || one.hidden)
    if (!old) return 'The board is full. Please try again later.'
    listings.delete(old.id)
  }
  const one = { id: ++lastListing, kind, title, place, owner: user, by: names.get(user), status: 'open', hidden: false, answers: [], reports: new Set() }
  listings.set(one.id, one)
  return `Published: ${line(one)}`
}
function answer (one, user, text) {
  if (one.status !== 'open' || one.hidden) return 'That listing takes no answers any more.'
  if (one.owner === user) return 'That is your own listing.'
  if (!text) return `Usage: /answer ${one.id} your text`
  if (one.answers.length >= MAX_ANSWERS) return 'That listing has too many answers already.'
  if (one.answers.filter(other => other.from === user).length >= 3) return 'You have answered that one three times. Please wait for its owner.'
  const mine = { id: ++lastAnswer, from: user, by: names.get(user), text }
  one.answers.push(mine)
  tell(one.owner, `Answer ${mine.id} to ${line(one)}\nfrom ${mine.by}: ${text}`, keys(['Reply', `reply:${mine.id}`], ['Solved, close it', `close:${one.id}`]))
  return `Your answer ${mine.id} went to the owner of #${one.id}.`
}
function reply (id, user, text) {
  const one = byAnswer(id), to = one?.answers.find(each => each.id === id)
  if (one?.owner !== user) return 'You have no such answer.'
  if (!text) return `Usage: /reply ${id} your text`
  tell(to.from, `The owner of ${line(one)} replies to your answer ${id}: ${text}`)
  return `Your reply went to ${to.by}.`
}
function close (one, user) {
  if (one.owner !== user && !isMod(user)) return 'Only its owner or a moderator may close that.'
  if (one.status === 'closed') return `#${one.id} is closed already.`
  one.status = 'closed'
  for (const other of new Set([...one.answers.map(each => each.from), one.owner])) if (other !== user) tell(other, `Closed: ${line(one)}`)
  return `Closed #${one.id}.`
}
function hide (one, user, hidden) {
  if (!isMod(user)) return 'That is for moderators.'
  if (one.hidden === hidden) return `#${one.id} is ${hidden ? 'hidden' : 'shown'} already.`
  one.hidden = hidden
  if (one.owner !== user) tell(one.owner, `A moderator ${hidden ? 'hid' : 'shows again'} your listing #${one.id}.`)
  return `#${one.id} is now ${hidden ? 'hidden' : 'shown'}.`
}
function report (one, user, why) {
  if (one.reports.has(user)) return `You have reported #${one.id} already.`
  if (one.reports.size >= 100) return `#${one.id} has been reported often enough; a moderator will look at it.`
  one.reports.add(user)
  for (const mod of new Set([ADMIN_ID, ...mods])) tell(mod, `Report on ${line(one)}: ${why || 'no reason given'}`, keys(['Hide', `hide:${one.id}`]))
  return `Thank you, the moderators know about #${one.id}.`
}

const HELP = `Lost and found in our neighbourhood.
/lost, /found - post something, step by step (in private)
/cancel - stop what you are doing
/board [page] - what is open
/search word - search the board
/item id - one listing
/answer id text - answer a listing (its owner reads it)
/mine - your listings
/answers id - answers to your listing
/reply answer text - reply to an answer
/close id - close your listing
/report id reason - tell the moderators
/reports, /hide id, /unhide id - for moderators
/mods, /mod user, /unmod user - for the admin`

// ---- what people say and press
const key = ctx => `${ctx.chat.id}:${ctx.from.id}`
const eyes = ctx => ctx.chat.type === 'private' ? ctx.from.id : 0 // a group sees what everybody may see, whoever asks
const inPrivate = act => ctx => ctx.reply(...ctx.chat.type === 'private' ? [act(ctx, ctx.from.id)].flat() : ['Please ask me that in private.'])
const withListing = act => ctx => {
  const [word, rest] = headTail(ctx.match), one = seen(word, ctx.from.id)
  return ctx.reply(one ? act(one, ctx.from.id, clean(rest, 500)) : 'There is no such listing. Give its number, as on the /board.')
}
const adminOnly = act => inPrivate((ctx, user) => user === ADMIN_ID ? act(number(ctx.match.trim())) : 'That is for the admin.')

const anonymous = bot.filter(ctx => ctx.msg?.anonymous) // admins and channels without a name own nothing
anonymous.command(['start', ...[...HELP.matchAll(/\/([a-z]+)/g)].map(each => each[1])], ctx => ctx.reply('Please write under your own name.'))
anonymous.use(() => {})
bot.use((ctx, next) => { names.set(ctx.from.id, clean(ctx.from.first_name, 40) || 'somebody'); return next() })
bot.command(['start', 'help'], ctx => ctx.reply(HELP))
bot.command(['lost', 'found'], inPrivate(ctx => {
  sessions.set(key(ctx), { step: 'title', kind: ctx.msg.text.startsWith('/lost') ? 'lost' : 'found', token: randomBytes(6).toString('hex') })
  return 'What is it? (/cancel to stop)'
}))
bot.command('cancel', ctx => ctx.reply(sessions.delete(key(ctx)) ? 'Stopped.' : 'There is nothing to stop.'))
bot.command('board', ctx => ctx.reply(...board(eyes(ctx), number(ctx.match.trim()))))
bot.command('search', ctx => {
  const word = clean(ctx.match, 50).toLowerCase()
  const found = [...listings.values()].filter(one => visible(one, eyes(ctx)) && `${one.title} ${one.place}`.toLowerCase().includes(word))
  return ctx.reply(!word ? 'Usage: /search word' : found.slice(-15).map(line).join('\n') || 'Nothing found.')
})
bot.command('item', ctx => { const one = seen(ctx.match.trim(), eyes(ctx)); return ctx.reply(...one ? card(one, eyes(ctx)) : ['There is no such listing.']) })
bot.command('mine', inPrivate((ctx, user) => [...listings.values()].filter(one => one.owner === user).slice(-15).map(one => `${line(one)}, ${one.status}`).join('\n') || 'You have no listings.'))
bot.command('answers', inPrivate((ctx, user) => {
  const one = seen(ctx.match.trim(), user)
  if (one?.owner !== user && !(one && isMod(user))) return 'You have no such listing.'
  return one.answers.slice(-6).map(each => `${each.id}. ${each.by}: ${each.text}`).join('\n') || 'No answers yet.'
}))
bot.command('answer', withListing(answer))
bot.command('close', withListing(close))
bot.command('report', withListing(report))
bot.command('hide', withListing((one, user) => hide(one, user, true)))
bot.command('unhide', withListing((one, user) => hide(one, user, false)))
bot.command('reply', inPrivate((ctx, user) => { const [id, rest] = headTail(ctx.match); return reply(number(id), user, clean(rest, 500)) }))
bot.command('reports', inPrivate((ctx, user) => !isMod(user) ? 'That is for moderators.' : [...listings.values()].filter(one => one.reports.size).slice(-15).map(one => `${line(one)}: ${one.reports.size} report(s)`).join('\n') || 'No reports.'))
bot.command('mods', adminOnly(() => [...mods].map(user => `${names.get(user) ?? 'somebody'} (${user})`).join('\n') || 'There are no moderators.'))
bot.command('mod', adminOnly(id => !id ? 'Usage: /mod user-id' : mods.size >= 50 ? 'There are 50 moderators already.' : mods.add(id) && `${id} is a moderator now.`))
bot.command('unmod', adminOnly(id => mods.delete(id) ? `${id} is no moderator any more.` : 'That is no moderator. Usage: /unmod user-id'))
bot.on('message', ctx => {
  const { text } = ctx.msg, session = sessions.get(key(ctx)), user = ctx.from.id, hint = said => ctx.chat.type === 'private' ? ctx.reply(said) : undefined
  if (text === undefined) return ctx.msg.media ? hint('I understand text only, sorry.') : undefined
  if (text.startsWith('/')) return hint('I do not know that command. See /help.')
  if (!session) return hint('Send /help to see what I can do.')
  const said = clean(text, ['title', 'place'].includes(session.step) ? 80 : 500)
  if (session.step === 'confirm') return ctx.reply('Please press one of the buttons, or /cancel.')
  if (!said) return ctx.reply('Please write some text.')
  if (session.step === 'title') { sessions.set(key(ctx), { ...session, title: said, step: 'place' }); return ctx.reply('Where was it?') }
  if (session.step === 'place') {
    sessions.set(key(ctx), { ...session, place: said, step: 'confirm' })
    return ctx.reply(`${session.kind}: ${session.title} (${said})\nPublish it?`, keys(['Publish', `pub:${session.token}`], ['Discard', `drop:${session.token}`]))
  }
  sessions.delete(key(ctx))
  const one = session.step === 'answer' && seen(String(session.id), user)
  return ctx.reply(session.step === 'reply' ? reply(session.id, user, said) : one ? answer(one, user, said) : 'There is no such listing any more.')
})

function pressed (ctx, action, value) {
  const user = ctx.from.id, one = seen(value, user), session = sessions.get(key(ctx))
  if (action === 'board') return board(eyes(ctx), number(value))
  if (action === 'pub' || action === 'drop') {
    if (session?.step !== 'confirm' || session.token !== value) return ['That draft is not yours, or it is out of date.']
    sessions.delete(key(ctx))
    return [action === 'pub' ? publish(user, session) : 'Discarded.']
  }
  if (action === 'reply') {
    if (byAnswer(number(value))?.owner !== user) return ['You have no such answer.']
    sessions.set(key(ctx), { step: 'reply', id: number(value) })
    return ['What do you want to reply? (/cancel to stop)']
  }
  if (!one) return ['There is no such listing any more.']
  if (action === 'rep') return [report(one, user, '')]
  if (action === 'close') return [close(one, user)]
  if (action === 'hide' || action === 'show') return [hide(one, user, action === 'hide')]
  if (action !== 'ans') return ['I do not know that button.']
  if (ctx.chat.type !== 'private') return [`Answer with /answer ${one.id} your text.`]
  sessions.set(key(ctx), { step: 'answer', id: one.id })
  return [`What do you want to tell the owner of #${one.id}? (/cancel to stop)`]
}
bot.on('callback_query:data', ctx => {
  const [action, value = ''] = ctx.callbackQuery.data.split(':'), said = pressed(ctx, action, value)
  ctx.answerCallbackQuery({ text: said[0].slice(0, 190).toWellFormed() }).catch(error => log('button:', error.error_code))
  return ctx.reply(...said)
})

// ---- the webhook
function distil (update) { // only what is used, and only if it is what it should be; nothing where there is nothing to do
  const query = isObject(update.callback_query) ? update.callback_query : undefined, message = query ? query.message : update.message
  const from = (query ?? message)?.from
  if (!isObject(from) || !isId(from.id) || from.id < 0) return
  const who = { id: from.id, is_bot: false, first_name: typeof from.first_name === 'string' ? from.first_name : '' }
  const place = isObject(message?.chat) && isId(message.chat.id) && ['private', 'group', 'supergroup', 'channel'].includes(message.chat.type) ? message.chat : undefined
  const chat = { id: place?.id ?? who.id, type: place?.type ?? 'private' }
  if (query) {
    if (typeof query.id !== 'string' || typeof query.data !== 'string') return
    return { update_id: update.update_id, callback_query: { id: query.id, from: who, chat_instance: '1', data: query.data, message: { message_id: 0, date: 0, chat } } }
  }
  const anonymous = isObject(message.sender_chat), text = typeof message.text === 'string' ? message.text : undefined
  if (!place || chat.type === 'channel' || (from.is_bot === true && !anonymous)) return
  const entities = (Array.isArray(message.entities) ? message.entities : []).filter(one => isObject(one) && one.type === 'bot_command' && one.offset === 0 && Number.isSafeInteger(one.length))
  return { update_id: update.update_id, message: { message_id: 0, date: 0, chat, from: who, text, entities, anonymous, media: MEDIA.some(kind => kind in message) } }
}

const sorry = new Set()
async function work (update, chat) {
  try { await bot.handleUpdate(update) } catch (wrapped) {
    const error = wrapped.error ?? wrapped, code = error instanceof GrammyError ? error.error_code : 0
    log('update', update.update_id, code || error.stack)
    if ([401, 403, 404].includes(code) || sorry.has(chat)) return
    sorry.add(chat)
    setTimeout(() => { sorry.delete(chat); tell(chat, 'Sorry, I could not answer your last message. Please try again.') }, code >= 429 ? 20_000 : 0)
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
    const small = distil(update), chat = (small?.message ?? small?.callback_query?.message)?.chat.id
    if (!small || updates.has(update.update_id)) return end(200)
    if (lanes.get(`in ${chat}`)?.length >= MAX_WAITING || lanes.size > 20_000) return end(429, { 'retry-after': '5' })
    updates.set(update.update_id, true)
    inLane(`in ${chat}`, () => work(small, chat))
    end(200)
  })
}).listen(Number(PORT), '127.0.0.1')

async function learnName () { // only /command@name needs it
  for (let wait = 1000; bot.botInfo.username === ''; wait = Math.min(2 * wait, 60_000)) {
    try { const me = await bot.api.getMe(); if (typeof me?.username === 'string') bot.botInfo = me } catch (error) { log('getMe:', error.error_code) }
    if (bot.botInfo.username === '') await sleep(wait)
  }
}
learnName()
process.on('unhandledRejection', error => log('unhandled:', error))
