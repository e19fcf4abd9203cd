// Drives grammY and Telegraf, unmodified, against the Bot API at argv[2]; prints what they made of it as one JSON line.
const { Api, InputFile } = require("grammy");
const { Telegraf, Input } = require("telegraf");

const url = process.argv[2];
const token = process.argv[3];

async function grammy() {
  const api = new Api(token, { apiRoot: url });
  const me = await api.getMe();
  const text = (await api.sendMessage(7, "hello cbm0123456789ab")).text;
  const document = (await api.sendDocument(7, new InputFile(Buffer.alloc(5000), "a.bin"), { caption: "c" })).document;
  const album = await api.sendMediaGroup(7, [
    { type: "photo", media: new InputFile(Buffer.alloc(10), "p.jpg") },
    { type: "photo", media: new InputFile(Buffer.alloc(11), "q.jpg") },
  ]);
  const file = await api.getFile(document.file_id);
  const content = await (await fetch(`${url}/file/bot${token}/${file.file_path}`)).arrayBuffer();
  const refused = await api.sendMessage(7, "").catch((error) => [error.error_code, error.description]);
  return { bot: me.is_bot, text, size: document.file_size, album: album.map((m) => m.photo[0].file_size), downloaded: content.byteLength, refused };
}

async function telegraf() {
  const api = new Telegraf(token, { telegram: { apiRoot: url } }).telegram;
  const me = await api.getMe();
  const text = (await api.sendMessage(7, "hello cbm0123456789ab")).text;
  const document = (await api.sendDocument(7, Input.fromBuffer(Buffer.alloc(5000), "a.bin"), { caption: "c" })).document;
  const album = await api.sendMediaGroup(7, [
    { type: "photo", media: { source: Buffer.alloc(10) } },
    { type: "photo", media: { source: Buffer.alloc(11) } },
  ]);
  const content = await (await fetch(await api.getFileLink(document.file_id))).arrayBuffer();
  const refused = await api.sendMessage(7, "").catch((error) => [error.code, error.description]);
  return { bot: me.is_bot, text, size: document.file_size, album: album.map((m) => m.photo[0].file_size), downloaded: content.byteLength, refused };
}

(async () => console.log(JSON.stringify({ grammy: await grammy(), telegraf: await telegraf() })))().catch((error) => {
  console.error(error);
  process.exit(1);
});
