// Starts chaosbot's agent in a Node.js process that chaosbot started (`NODE_OPTIONS=--require …`), before any code of the target.
//
// The agent is a thread of its own, which looks at this one through V8's inspector inside the process: no port is opened. Counting begins here,
// because only functions that are compiled after that are counted block by block. Whatever fails, the target runs on without the agent.
'use strict';

const { isMainThread, Worker } = require('worker_threads');

const OLDEST = 18;
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
  // Older ones fail an assertion at their end when a thread has looked at the main one.
  if (Number(process.versions.node.split('.')[0]) < OLDEST) throw new Error(`the agent needs Node.js ${OLDEST} or newer`);
  const { Session } = require('inspector');
  const session = new Session();
  session.connect();
  session.post('Profiler.enable');
  session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
  // 0: whether chaosbot was reached, or cannot be; 1: the event loop's beat; 2: whether the agent has left.
  const shared = new Int32Array(new SharedArrayBuffer(12));
  const agent = new Worker(PROGRAM, {
    eval: true,
    env: {},
    execArgv: [],
    workerData: { shared, address, agent: require('path').join(__dirname, 'agent.cjs'), include: process.env.CHAOSBOT_GUIDE_INCLUDE || '' },
  });
  agent.on('error', (error) => tell(address, error));
  agent.unref();
  setInterval(() => Atomics.add(shared, 1, 1), BEAT_MS).unref();
  process.on('exit', () => {
    // A debugger that is attached while the process ends would be waited for, and said so on standard error.
    agent.postMessage('leave');
    Atomics.wait(shared, 2, 0, LEAVE_MS);
  });
  // So that chaosbot knows of the agent before the target answers its first request.
  Atomics.wait(shared, 0, 0, WAIT_MS);
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
