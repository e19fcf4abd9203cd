// Starts chaosbot's agent in a Node.js process that chaosbot started (`NODE_OPTIONS=--require …`), before any code of the target.
//
// From here on this thread's own modules are counted when they are loaded (`loading.cjs`); the agent is a thread of its own, which reads the
// counters. Whatever fails, the target runs on without the agent.
'use strict';

const { isMainThread, MessageChannel, Worker } = require('worker_threads');

const BEAT_MS = 50;
const WAIT_MS = 5000;
const LEAVE_MS = 500;

// The thread's program; where the agent cannot be loaded, nothing waits for it.
const PROGRAM = `
const { shared, agent } = require('worker_threads').workerData;
try {
  require(agent);
} catch (error) {
  for (const at of [0, 2]) {
    Atomics.store(shared, at, 1);
    Atomics.notify(shared, at);
  }
  throw error;
}`;

function begin(address) {
  if (!require('module').register) throw new Error('the agent needs Node.js 18.19 or newer');
  const { hook, COUNTERS, SHARED } = require('./loading.cjs');
  const shared = new Int32Array(new SharedArrayBuffer(4 * Object.keys(SHARED).length));
  const counters = new SharedArrayBuffer(COUNTERS);
  const include = process.env.CHAOSBOT_GUIDE_INCLUDE || '';
  const [here, hooks] = [new MessageChannel(), new MessageChannel()];
  const ports = [here.port2, hooks.port2];
  hook({ shared, port: here.port1, hooksPort: hooks.port1, include, counters: new Uint8Array(counters) });
  const agent = new Worker(PROGRAM, {
    eval: true,
    env: {},
    execArgv: [],
    workerData: { shared, counters, ports, address, agent: require('path').join(__dirname, 'agent.cjs'), include },
    transferList: ports,
  });
  agent.on('error', (error) => tell(address, error));
  agent.unref();
  setInterval(() => Atomics.add(shared, SHARED.BEAT, 1), BEAT_MS).unref();
  process.on('exit', () => {
    // A debugger that is attached while the process ends would be waited for, and said so on standard error.
    agent.postMessage('leave');
    Atomics.wait(shared, SHARED.LEFT, 0, LEAVE_MS);
  });
  // So that chaosbot knows of the agent before the target answers its first request.
  Atomics.wait(shared, SHARED.READY, 0, WAIT_MS);
}

// Why the agent is not there, in a file beside chaosbot's socket.
function tell(address, error) {
  try {
    require('fs').appendFileSync(`${address}.why`, `Node.js ${process.version}: ${String(error).split('\n')[0]}\n`);
  } catch {
    // chaosbot is gone
  }
}

if (isMainThread && process.env.CHAOSBOT_GUIDE) {
  try {
    begin(process.env.CHAOSBOT_GUIDE);
  } catch (error) {
    tell(process.env.CHAOSBOT_GUIDE, error);
  }
}
