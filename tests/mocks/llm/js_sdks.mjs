// Drives the providers' JavaScript SDKs, unmodified, against the mock at argv[2]; prints what they made of it as one JSON line.
import Anthropic from "@anthropic-ai/sdk";
import OpenAI, { toFile } from "openai";
import { FunctionCallingConfigMode, GoogleGenAI } from "@google/genai";

const url = process.argv[2];
const text = "hello cbm0123456789ab";
const messages = [{ role: "user", content: text }];
const schema = {
  type: "object",
  properties: { city: { type: "string" }, unit: { enum: ["c", "f"] }, days: { type: "integer", minimum: 2 } },
  required: ["city"],
};

async function all(stream, piece) {
  let said = "";
  for await (const event of stream) said += piece(event) ?? "";
  return said;
}

async function anthropic() {
  const client = new Anthropic({ baseURL: url, apiKey: "sk-test", maxRetries: 0 });
  const asked = { model: "claude-haiku-4-5", max_tokens: 2000, messages };
  const plain = await client.messages.create(asked);
  const streamed = await client.messages.stream(asked).finalMessage();
  const raw = await all(await client.messages.create({ ...asked, stream: true }), (event) => event.delta?.text);
  const thinking = { type: "enabled", budget_tokens: 1024 };
  const thought = await client.messages.stream({ ...asked, thinking }).finalMessage();
  const tools = [{ name: "weather", description: "d", input_schema: schema }];
  const called = await client.messages.stream({ ...asked, tools, tool_choice: { type: "any" } }).finalMessage();
  const counted = await client.messages.countTokens({ model: "m", messages });
  const models = [];
  for await (const model of client.models.list()) models.push(model.id);
  const refused = await client.messages.create({ ...asked, messages: [] }).catch((error) => [error.status, error.type]);
  return {
    texts: [plain.content[0].text, streamed.content[0].text, raw, thought.content[1].text],
    ends: [plain.stop_reason, streamed.stop_reason, called.stop_reason],
    usage: [plain.usage.output_tokens, streamed.usage.output_tokens, counted.input_tokens],
    blocks: thought.content.map((block) => block.type),
    tool: [called.content[0].name, called.content[0].input],
    models,
    refused,
  };
}

async function openai() {
  const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "sk-test", maxRetries: 0 });
  const asked = { model: "gpt-5-mini", messages };
  const plain = await client.chat.completions.create(asked);
  const streamed = await client.chat.completions.stream(asked).finalChatCompletion();
  const counted = { ...asked, stream: true, stream_options: { include_usage: true } };
  let usage = null;
  const raw = await all(await client.chat.completions.create(counted), (chunk) => {
    usage = chunk.usage ?? usage;
    return chunk.choices[0]?.delta.content;
  });
  const tools = [{ type: "function", function: { name: "weather", parameters: schema } }];
  const called = await client.chat.completions.stream({ ...asked, tools, tool_choice: "required" }).finalChatCompletion();
  const call = called.choices[0].message.tool_calls[0].function;
  const response = await client.responses.create({ model: "gpt-5.2", input: text });
  const events = client.responses.stream({ model: "gpt-5.2", input: text });
  const final = await events.finalResponse();
  const vector = (await client.embeddings.create({ model: "text-embedding-3-small", input: "a", dimensions: 8 })).data[0];
  const file = await toFile(Buffer.from("OggS".repeat(10)), "voice.ogg");
  const heard = await client.audio.transcriptions.create({ model: "whisper-1", file });
  const models = [];
  for await (const model of client.models.list()) models.push(model.id);
  const refused = await client.chat.completions.create({ model: "m", messages: [] }).catch((error) => [error.status, error.type]);
  return {
    texts: [plain.choices[0].message.content, streamed.choices[0].message.content, raw, response.output_text, final.output_text],
    ends: [plain.choices[0].finish_reason, called.choices[0].finish_reason, response.status, final.status],
    usage: [plain.usage.completion_tokens, usage.completion_tokens, final.usage.output_tokens],
    tool: [call.name, JSON.parse(call.arguments)],
    vector: vector.embedding.length,
    heard: heard.text.length,
    models,
    refused,
  };
}

async function gemini() {
  const { models } = new GoogleGenAI({ apiKey: "key", httpOptions: { baseUrl: url } });
  const asked = { model: "gemini-2.5-flash", contents: text };
  const plain = await models.generateContent(asked);
  const raw = await all(await models.generateContentStream(asked), (chunk) => chunk.text);
  const config = {
    tools: [{ functionDeclarations: [{ name: "weather", parametersJsonSchema: schema }] }],
    toolConfig: { functionCallingConfig: { mode: FunctionCallingConfigMode.ANY } },
  };
  const called = (await models.generateContent({ ...asked, config })).functionCalls[0];
  return {
    texts: [plain.text, raw],
    ends: [plain.candidates[0].finishReason],
    usage: [plain.usageMetadata.candidatesTokenCount],
    tool: [called.name, called.args],
  };
}

console.log(JSON.stringify({ anthropic: await anthropic(), openai: await openai(), gemini: await gemini() }));
