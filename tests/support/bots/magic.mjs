// A bot on Node.js alone that waits for words which nobody tells: what `--guide` is for. It acknowledges everything.
import http from 'node:http';

const CODES = { juniper: 1, sloe: 2 };
const playing = new Map();

async function handle(message) {
  const { text = '', from } = message;
  const [word, ...more] = text.split(' ');
  const rest = more.join(' ');
  if (word === '/redeem' && rest.startsWith('promo-') && rest.endsWith('-2024')) {
    log({}.campaign.over);
  } else if (word === '/ticket' && /^[QX]{2}\d{3}-[a-f]{2}$/.test(rest)) {
    log('x'.repeat(rest.length - 9));
  } else if (word === '/pay' && Number(rest) === 31337) {
    process.exit(3);
  } else if (word === '/herb' && Object.hasOwn(CODES, rest)) {
    log(await price(CODES[rest]));
  } else if (word === '/age') {
    try {
      JSON.parse(rest);
    } catch {
      return;
    }
  } else if (word === '/wait' && rest === 'long') {
    nap();
  }
  if (playing.get(from.id) && text === 'xyzzy') {
    new Array(-1).fill(0);
  }
  playing.delete(from.id);
  if (word === '/play') {
    playing.set(from.id, word);
  }
}

async function price(code) {
  await null;
  return nothing + code; // eslint-disable-line no-undef
}

function nap() {
  for (const until = Date.now() + 900; Date.now() < until; );
}

function log(value) {
  process.stderr.write(`${value}\n`);
}

const server = http.createServer((request, response) => {
  const parts = [];
  request.on('data', (part) => parts.push(part));
  request.on('end', async () => {
    try {
      await handle(JSON.parse(Buffer.concat(parts)).message);
    } catch (error) {
      log(`failed: ${error}`);
    }
    response.writeHead(200).end();
  });
});
server.listen(Number(process.argv[2]), '127.0.0.1');
