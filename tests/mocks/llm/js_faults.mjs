// What the JavaScript SDKs make of a broken stream at argv[2], by raw iteration and by their stream helpers, as one JSON line.
import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";

const url = process.argv[2];
const messages = [{ role: "user", content: "hello cbm0123456789ab" }];
const claude = { model: "claude-haiku-4-5", max_tokens: 600, messages };
const gpt = { model: "gpt-5-mini", messages };

// "whole", "part" or "nothing" where it ends quietly, otherwise the class of the error.
async function outcome(ask) {
  try {
    const text = (await ask()) ?? "";
    return !text ? "nothing" : /^cbas.* cbae[0-9a-f]{8}$/s.test(text) ? "whole" : "part";
  } catch (error) {
    return error.constructor.name;
  }
}

async function all(stream, piece) {
  let said = "";
  for await (const event of stream) said += piece(event) ?? "";
  return said;
}

const anthropic = new Anthropic({ baseURL: url, apiKey: "sk-test", maxRetries: 0 });
const openai = new OpenAI({ baseURL: `${url}/v1`, apiKey: "sk-test", maxRetries: 0 });
const helped = () => openai.chat.completions.stream(gpt).finalChatCompletion();
console.log(
  JSON.stringify([
    await outcome(async () => all(await anthropic.messages.create({ ...claude, stream: true }), (event) => event.delta?.text)),
    await outcome(async () => (await anthropic.messages.stream(claude).finalMessage()).content[0]?.text),
    await outcome(async () => all(await openai.chat.completions.create({ ...gpt, stream: true }), (chunk) => chunk.choices[0]?.delta.content)),
    await outcome(async () => (await helped()).choices[0].message.content),
  ]),
);
