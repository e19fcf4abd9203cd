// Judges deliveries with the vendors' own libraries: one JSON document a line in, 1 (accepted) or 0 a line out.
const { createInterface } = require("node:readline");
const { Webhooks } = require("@octokit/webhooks");
const { verifySlackRequest } = require("@slack/bolt");
const { verifyKey } = require("discord-interactions");
const { Webhook } = require("standardwebhooks");
const stripe = require("stripe")("sk_test_chaosbot");
const twilio = require("twilio");

const judges = {
  async github({ secret, headers, body }) {
    return new Webhooks({ secret }).verify(body.toString(), headers["x-hub-signature-256"]);
  },
  slack({ secret, headers, body }) {
    verifySlackRequest({ signingSecret: secret, headers, body: body.toString() });
    return true;
  },
  stripe({ secret, headers, body }) {
    return Boolean(stripe.webhooks.constructEvent(body, headers["stripe-signature"], secret));
  },
  standard_webhooks({ secret, headers, body }) {
    new Webhook(secret).verify(body.toString(), headers);
    return true;
  },
  async discord({ secret, headers, body }) {
    const given = headers["x-signature-ed25519"];
    return Boolean(given) && (await verifyKey(body, given, headers["x-signature-timestamp"], secret));
  },
  twilio({ secret, headers, body, url }) {
    const fields = {};
    for (const [name, value] of new URLSearchParams(body.toString())) fields[name] = name in fields ? [fields[name], value].flat() : value;
    return twilio.validateRequest(secret, headers["x-twilio-signature"] ?? "", url, fields);
  },
};

(async () => {
  const verdicts = [];
  for await (const line of createInterface({ input: process.stdin })) {
    const told = JSON.parse(line);
    try {
      verdicts.push((await judges[told.platform]({ ...told, body: Buffer.from(told.body, "base64") })) ? 1 : 0);
    } catch {
      verdicts.push(0); // a receiver refuses, or answers 500, which is no acceptance
    }
  }
  process.stdout.write(verdicts.join("\n"));
})();
