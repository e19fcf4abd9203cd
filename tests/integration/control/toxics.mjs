// Drives each toxic with the public client and looks at what a socket of Node's sees. Arguments: API URL, upstream.
import assert from "node:assert/strict";
import net from "node:net";
import toxiproxyClient from "toxiproxy-node-client";

const [url, upstream] = process.argv.slice(2);
const toxiproxy = new toxiproxyClient.Toxiproxy(url);

// Sends a payload and collects what comes back until `enough` bytes, an end or an error.
function exchange(proxy, { payload = "ping", enough = payload.length, halfClose = false } = {}) {
  return new Promise((resolve) => {
    const [host, port] = proxy.listen.split(":");
    const began = performance.now();
    const chunks = [];
    const socket = net.connect(Number(port), host, () => {
      socket.setNoDelay(true);
      halfClose ? socket.end(payload) : socket.write(payload);
    });
    const finish = (how) => {
      socket.destroy();
      const data = Buffer.concat(chunks);
      resolve({ how, data, chunks, ms: performance.now() - began });
    };
    socket.on("data", (chunk) => {
      chunks.push(chunk);
      if (!halfClose && Buffer.concat(chunks).length >= enough) finish("enough");
    });
    socket.on("end", () => finish("end"));
    socket.on("error", (error) => finish(error.code));
    socket.setTimeout(8000, () => finish("hung"));
  });
}

const checks = {
  bandwidth: {
    attributes: { rate: 100 },
    look: async (proxy) => {
      const seen = await exchange(proxy, { payload: "x".repeat(20000) });
      assert.equal(seen.data.length, 20000);
      assert.ok(seen.ms >= 195, `took ${seen.ms}`);
    },
  },
  latency: {
    attributes: { latency: 150, jitter: 10 },
    look: async (proxy) => {
      const seen = await exchange(proxy);
      assert.equal(seen.data.toString(), "ping");
      assert.ok(seen.ms >= 138, `took ${seen.ms}`);
    },
  },
  limit_data: {
    attributes: { bytes: 3 },
    look: async (proxy) => {
      const seen = await exchange(proxy);
      assert.deepEqual([seen.data.toString(), seen.how], ["pin", "end"]);
    },
  },
  noop: {
    attributes: {},
    look: async (proxy) => assert.equal((await exchange(proxy)).data.toString(), "ping"),
  },
  reset_peer: {
    attributes: { timeout: 50 },
    look: async (proxy) => {
      const seen = await exchange(proxy);
      assert.deepEqual([seen.how, seen.data.length], ["ECONNRESET", 0]);
    },
  },
  slicer: {
    attributes: { average_size: 8, size_variation: 2, delay: 15000 },
    look: async (proxy) => {
      const seen = await exchange(proxy, { payload: "y".repeat(40) });
      assert.equal(seen.data.length, 40);
      assert.ok(seen.chunks.length >= 3, `${seen.chunks.length} chunks`);
    },
  },
  slow_close: {
    attributes: { delay: 200 },
    look: async (proxy) => {
      const seen = await exchange(proxy, { halfClose: true });
      assert.deepEqual([seen.how, seen.data.toString()], ["end", "ping"]);
      assert.ok(seen.ms >= 195, `took ${seen.ms}`);
    },
  },
  timeout: {
    attributes: { timeout: 100 },
    look: async (proxy) => {
      const seen = await exchange(proxy);
      assert.deepEqual([seen.how, seen.data.length], ["end", 0]);
      assert.ok(seen.ms >= 60, `took ${seen.ms}`);
    },
  },
};

assert.match(await toxiproxy.getVersion(), /2\.12/);
const proxy = await toxiproxy.createProxy({ name: "node", listen: "127.0.0.1:0", upstream });
for (const [type, { attributes, look }] of Object.entries(checks)) {
  const toxic = await proxy.addToxic({ name: `my-${type}`, type, attributes, stream: "downstream", toxicity: 1 });
  assert.equal(toxic.type, type);
  await look(proxy);
  assert.equal((await proxy.getToxic(`my-${type}`)).name, `my-${type}`);
  await toxic.remove();
  assert.equal((await exchange(proxy)).data.toString(), "ping", `after ${type} was removed`);
}

const patched = await proxy.addToxic({ name: "", type: "latency", attributes: { latency: 1, jitter: 0 } });
assert.deepEqual((await patched.update({ attributes: { latency: 2 } })).attributes, { latency: 2, jitter: 0 });
await toxiproxy.reset();
await assert.rejects(proxy.getToxic(patched.name), { message: "Request failed with status code 404" });

assert.equal((await proxy.update({ enabled: false, listen: proxy.listen, upstream })).enabled, false);
const populated = await toxiproxy.populate([{ name: "more", listen: "127.0.0.1:0", upstream }]);
assert.deepEqual(Object.keys(populated), ["more"]);
for (const each of Object.values(await toxiproxy.getAll())) await each.remove();
console.log(JSON.stringify({ toxics: Object.keys(checks) }));
