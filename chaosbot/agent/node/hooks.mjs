// Runs in the thread in which Node.js before 22.15 loads what is imported (`module.register`).
import { createRequire } from 'node:module';

const { Loader, fresh } = createRequire(import.meta.url)('./loading.cjs');
let loader = null;

export function initialize(data) {
  try {
    loader = new Loader(data);
  } catch (error) {
    data.port.postMessage({ trouble: String(error) });
  }
}

export async function load(url, context, next) {
  const found = await next(url, context);
  return loader === null ? found : fresh(loader, url, found);
}
