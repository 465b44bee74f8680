// The official SDKs of providers, behind one small protocol: a question is one
// line of JSON on standard input, its answer one line on standard output.
//
//   {"provider", "do": "sign"|"verify", "secret", "url", "method", "headers", "body", "now", "id"}
//
// body is base64, now in milliseconds, the names of headers are in lower case. To
// sign answers {"headers", "body", "url"}, of which only what was set is there; to
// verify answers {"ok"}. An SDK that throws while it verifies refuses. Each SDK is
// loaded when it is first asked.
import { createRequire } from "node:module";
import readline from "node:readline";

const require = createRequire(import.meta.url);

// seconds is how most write a time.
const seconds = (r) => String(Math.floor(r.now / 1000));

// standard is an SDK with the methods of the Standard Webhooks libraries.
const standard = (load, prefix) => ({
  async sign(r) {
    const { Webhook } = await load();
    const signature = new Webhook(r.secret).sign(r.id, new Date(r.now), r.text);
    return { headers: { [`${prefix}-id`]: r.id, [`${prefix}-timestamp`]: seconds(r), [`${prefix}-signature`]: signature } };
  },
  async verify(r) {
    const { Webhook } = await load();
    new Webhook(r.secret).verify(r.text, r.headers);
    return true;
  },
});

export const judges = {
  stripe: {
    async sign(r) {
      const { default: Stripe } = await import("stripe");
      const header = new Stripe("sk_test").webhooks.generateTestHeaderString({ payload: r.text, secret: r.secret, timestamp: Math.floor(r.now / 1000) });
      return { headers: { "stripe-signature": header } };
    },
    async verify(r) {
      const { default: Stripe } = await import("stripe");
      new Stripe("sk_test").webhooks.constructEvent(r.body, r.headers["stripe-signature"], r.secret);
      return true;
    },
  },
  "standard-webhooks": standard(() => import("standardwebhooks"), "webhook"),
  svix: standard(() => import("svix"), "svix"),
  github: {
    async sign(r) {
      const { sign } = await import("@octokit/webhooks-methods");
      return { headers: { "x-hub-signature-256": await sign(r.secret, r.text) } };
    },
    async verify(r) {
      const { verify } = await import("@octokit/webhooks-methods");
      return verify(r.secret, r.text, r.headers["x-hub-signature-256"]);
    },
  },
  twilio: {
    async sign(r) {
      const twilio = require("twilio");
      const params = Object.fromEntries(new URLSearchParams(r.text));
      return { headers: { "x-twilio-signature": twilio.getExpectedTwilioSignature(r.secret, r.url, params), "content-type": "application/x-www-form-urlencoded" } };
    },
    async verify(r) {
      const twilio = require("twilio");
      const params = Object.fromEntries(new URLSearchParams(r.text));
      return twilio.validateRequest(r.secret, r.headers["x-twilio-signature"], r.url, params);
    },
  },
  hubspot: {
    async sign(r) {
      const { Signature } = require("@hubspot/api-client");
      const timestamp = String(r.now);
      const signature = Signature.getSignature(r.method, "v3", { signatureVersion: "v3", clientSecret: r.secret, requestBody: r.text, url: r.url, timestamp });
      return { headers: { "x-hubspot-signature-v3": signature, "x-hubspot-request-timestamp": timestamp } };
    },
    async verify(r) {
      const { Signature } = require("@hubspot/api-client");
      return Signature.isValid({
        signatureVersion: "v3", signature: r.headers["x-hubspot-signature-v3"], method: r.method, clientSecret: r.secret,
        requestBody: r.text, url: r.url, timestamp: Number(r.headers["x-hubspot-request-timestamp"]),
      });
    },
  },
  notion: {
    async sign(r) {
      const { signWebhookPayload } = await import("@notionhq/client");
      return { headers: { "x-notion-signature": await signWebhookPayload({ body: r.text, verificationToken: r.secret }) } };
    },
    async verify(r) {
      const { verifyWebhookSignature } = await import("@notionhq/client");
      return verifyWebhookSignature({ body: r.text, signature: r.headers["x-notion-signature"], verificationToken: r.secret });
    },
  },
  sanity: {
    async sign(r) {
      const { encodeSignatureHeader } = await import("@sanity/webhook");
      return { headers: { "sanity-webhook-signature": await encodeSignatureHeader(r.text, r.now, r.secret) } };
    },
    async verify(r) {
      const { isValidSignature } = await import("@sanity/webhook");
      return isValidSignature(r.text, r.headers["sanity-webhook-signature"], r.secret);
    },
  },
  braintree: {
    async sign(r) {
      const made = gateway(r).webhookTesting.sampleNotification("check", r.id);
      return { body: new URLSearchParams({ bt_signature: made.bt_signature, bt_payload: made.bt_payload }).toString() };
    },
    async verify(r) {
      const form = new URLSearchParams(r.text);
      await gateway(r).webhookNotification.parse(form.get("bt_signature"), form.get("bt_payload"));
      return true;
    },
  },
  adyen: {
    async sign(r) {
      const { hmacValidator } = require("@adyen/api-library");
      const sent = JSON.parse(r.text);
      for (const { NotificationRequestItem: item } of sent.notificationItems) {
        item.additionalData = { hmacSignature: new hmacValidator().calculateHmac(item, r.secret) };
      }
      return { body: JSON.stringify(sent) };
    },
    async verify(r) {
      const { hmacValidator } = require("@adyen/api-library");
      return JSON.parse(r.text).notificationItems.every(({ NotificationRequestItem: item }) => new hmacValidator().validateHMAC(item, r.secret));
    },
  },
  "adyen-platform": {
    async verify(r) {
      const { hmacValidator } = require("@adyen/api-library");
      return new hmacValidator().validateHMACSignature(r.secret, r.headers["hmacsignature"], r.text);
    },
  },
  "coinbase-commerce": {
    async sign(r) {
      const { Webhook } = require("coinbase-commerce-node");
      return { headers: { "x-cc-webhook-signature": Webhook.computeSignature(r.text, r.secret) } };
    },
    async verify(r) {
      const { Webhook } = require("coinbase-commerce-node");
      Webhook.verifyEventBody(r.text, r.headers["x-cc-webhook-signature"], r.secret);
      return true;
    },
  },
  pusher: {
    async sign(r) {
      const Pusher = require("pusher");
      return { headers: { "x-pusher-key": "key", "x-pusher-signature": new Pusher.Token("key", r.secret).sign(r.text) } };
    },
    async verify(r) {
      const Pusher = require("pusher");
      return new Pusher.Token("key", r.secret).verify(r.text, r.headers["x-pusher-signature"]);
    },
  },
  mollie: {
    async sign(r) {
      const { SignatureValidator } = await mollie();
      return { headers: { "x-mollie-signature": "sha256=" + await SignatureValidator.createSignature(r.text, r.secret) } };
    },
    async verify(r) {
      const { SignatureValidator } = await mollie();
      return new SignatureValidator(r.secret).validatePayload(r.text, r.headers["x-mollie-signature"]);
    },
  },
  contentful: {
    async sign(r) {
      const { signRequest } = require("@contentful/node-apps-toolkit");
      const headers = { "content-type": "application/json" };
      return { headers: { ...headers, ...signRequest(r.secret, { method: r.method, path: pathOf(r.url), headers, body: r.text }, r.now) } };
    },
    async verify(r) {
      const { verifyRequest } = require("@contentful/node-apps-toolkit");
      return verifyRequest(r.secret, { method: r.method, path: pathOf(r.url), headers: r.headers, body: r.text });
    },
  },
  orb: {
    async sign(r) {
      const { default: Orb } = await import("orb-billing");
      const timestamp = new Date(r.now).toISOString().replace("Z", "");
      const signature = new Orb({ apiKey: "x" }).webhooks.signPayload(r.text, { timestamp, secret: r.secret });
      return { headers: { "x-orb-timestamp": timestamp, "x-orb-signature": String(signature).startsWith("v1=") ? signature : "v1=" + signature } };
    },
    async verify(r) {
      const { default: Orb } = await import("orb-billing");
      new Orb({ apiKey: "x" }).webhooks.verifySignature(r.text, titled(r.headers), r.secret);
      return true;
    },
  },
  "modern-treasury": {
    async sign(r) {
      const { default: ModernTreasury } = await import("modern-treasury");
      const client = new ModernTreasury({ apiKey: "x", organizationID: "x" });
      return { headers: { "x-signature": await client.webhooks.getSignature(r.text, { key: r.secret }) } };
    },
    async verify(r) {
      const { default: ModernTreasury } = await import("modern-treasury");
      const client = new ModernTreasury({ apiKey: "x", organizationID: "x" });
      return client.webhooks.validateSignature(r.text, r.headers, { key: r.secret });
    },
  },
  livekit: {
    async sign(r) {
      const { AccessToken } = require("livekit-server-sdk");
      const token = new AccessToken("configured", r.secret);
      token.sha256 = require("node:crypto").createHash("sha256").update(r.body).digest("base64");
      return { headers: { authorization: await token.toJwt() } };
    },
    async verify(r) {
      const { WebhookReceiver } = require("livekit-server-sdk");
      await new WebhookReceiver("configured", r.secret).receive(r.text, r.headers["authorization"]);
      return true;
    },
  },
  workos: {
    async verify(r) {
      const { WorkOS } = await import("@workos-inc/node");
      await new WorkOS("sk_test").webhooks.constructEvent({ payload: JSON.parse(r.text), sigHeader: r.headers["workos-signature"], secret: r.secret });
      return true;
    },
  },
  "jira-connect": {
    async sign(r) {
      const jwt = require("@atlassian/atlassian-jwt");
      const qsh = jwt.createQueryStringHash(jwt.fromMethodAndUrl(r.method, pathOf(r.url)));
      const iat = Math.floor(r.now / 1000);
      return { headers: { authorization: "JWT " + jwt.encodeSymmetric({ iss: "configured", iat, exp: iat + 180, qsh }, r.secret) } };
    },
    async verify(r) {
      const jwt = require("@atlassian/atlassian-jwt");
      const claims = jwt.decodeSymmetric(r.headers["authorization"].replace(/^JWT /, ""), r.secret, jwt.SymmetricAlgorithm.HS256);
      return claims.qsh === jwt.createQueryStringHash(jwt.fromMethodAndUrl(r.method, pathOf(r.url)));
    },
  },
  box: {
    async verify(r) {
      const { WebhooksManager } = require("box-node-sdk/lib/managers/webhooks");
      return WebhooksManager.validateMessage(r.text, r.headers, r.secret);
    },
  },
  slack: {
    async verify(r) {
      const { verifySlackRequest } = require("@slack/bolt");
      verifySlackRequest({ signingSecret: r.secret, body: r.text, headers: r.headers });
      return true;
    },
  },
  discord: {
    async verify(r) {
      const { verifyKey } = require("discord-interactions");
      return verifyKey(r.body, r.headers["x-signature-ed25519"], r.headers["x-signature-timestamp"], r.secret);
    },
  },
  sendgrid: {
    async verify(r) {
      const { EventWebhook } = require("@sendgrid/eventwebhook");
      const judge = new EventWebhook();
      return judge.verifySignature(judge.convertPublicKeyToECDSA(r.secret), r.body,
        r.headers["x-twilio-email-event-webhook-signature"], r.headers["x-twilio-email-event-webhook-timestamp"]);
    },
  },
  square: {
    async verify(r) {
      const { WebhooksHelper } = require("square");
      return WebhooksHelper.verifySignature({ requestBody: r.text, signatureHeader: r.headers["x-square-hmacsha256-signature"], signatureKey: r.secret, notificationUrl: r.url });
    },
  },
  linear: {
    async verify(r) {
      const { LinearWebhookClient } = require("@linear/sdk/webhooks");
      return new LinearWebhookClient(r.secret).verify(r.body, r.headers["linear-signature"], JSON.parse(r.text).webhookTimestamp);
    },
  },
  line: {
    async verify(r) {
      const { validateSignature } = await import("@line/bot-sdk");
      return validateSignature(r.body, r.secret, r.headers["x-line-signature"]);
    },
  },
  gocardless: {
    async verify(r) {
      const { parse } = require("gocardless-nodejs/webhooks");
      parse(r.text, r.secret, r.headers["webhook-signature"]);
      return true;
    },
  },
  razorpay: {
    async verify(r) {
      const { validateWebhookSignature } = require("razorpay/dist/utils/razorpay-utils");
      return validateWebhookSignature(r.text, r.headers["x-razorpay-signature"], r.secret);
    },
  },
  paddle: {
    async verify(r) {
      const { Paddle } = await import("@paddle/paddle-node-sdk");
      return new Paddle("x").webhooks.isSignatureValid(r.text, r.secret, r.headers["paddle-signature"]);
    },
  },
  shopify: {
    async verify(r) {
      await import("@shopify/shopify-api/adapters/node");
      const { shopifyApi, ApiVersion } = await import("@shopify/shopify-api");
      const api = shopifyApi({ apiKey: "x", apiSecretKey: r.secret, hostName: "hooks.example.com", apiVersion: Object.values(ApiVersion).pop(), isEmbeddedApp: false, logger: { log: () => {} } });
      const checked = await api.webhooks.validate({ rawBody: r.text, rawRequest: { method: r.method, url: r.url, headers: { ...r.headers, "x-shopify-api-version": "2026-10", "x-shopify-webhook-id": "w1" } } });
      return checked.valid;
    },
  },
  onfido: {
    async verify(r) {
      const { WebhookEventVerifier } = require("@onfido/api");
      new WebhookEventVerifier(r.secret).readPayload(r.text, r.headers["x-sha2-signature"]);
      return true;
    },
  },
  openai: {
    async verify(r) {
      const { default: OpenAI } = await import("openai");
      await new OpenAI({ apiKey: "x", webhookSecret: r.secret }).webhooks.unwrap(r.text, r.headers);
      return true;
    },
  },
  resend: {
    async verify(r) {
      const { Resend } = await import("resend");
      new Resend("re_x").webhooks.verify({
        payload: r.text, webhookSecret: r.secret,
        headers: { id: r.headers["svix-id"] ?? r.headers["webhook-id"], timestamp: r.headers["svix-timestamp"] ?? r.headers["webhook-timestamp"], signature: r.headers["svix-signature"] ?? r.headers["webhook-signature"] },
      });
      return true;
    },
  },
  replicate: {
    async verify(r) {
      const { validateWebhook } = require("replicate");
      return validateWebhook({ id: r.headers["webhook-id"], timestamp: r.headers["webhook-timestamp"], signature: r.headers["webhook-signature"], body: r.text, secret: r.secret });
    },
  },
  polar: {
    async verify(r) {
      const { validateEvent, WebhookVerificationError } = await import("@polar-sh/sdk/webhooks");
      try {
        validateEvent(r.body, r.headers, r.secret);
      } catch (e) {
        return !(e instanceof WebhookVerificationError); // it also wants to know the event's type
      }
      return true;
    },
  },
  mux: {
    async verify(r) {
      const { default: Mux } = await import("@mux/mux-node");
      await new Mux({ tokenId: "x", tokenSecret: "x" }).webhooks.verifySignature(r.text, r.headers, r.secret);
      return true;
    },
  },
  elevenlabs: {
    async verify(r) {
      const { ElevenLabsClient } = await import("@elevenlabs/elevenlabs-js");
      await new ElevenLabsClient({ apiKey: "x" }).webhooks.constructEvent(r.text, r.headers["elevenlabs-signature"], r.secret);
      return true;
    },
  },
  webflow: {
    async verify(r) {
      const { WebflowClient } = require("webflow-api");
      return new WebflowClient({ accessToken: "x" }).webhooks.verifySignature({ headers: r.headers, body: r.text, secret: r.secret });
    },
  },
  telnyx: {
    async verify(r) {
      const { default: Telnyx } = await import("telnyx");
      await new Telnyx({ apiKey: "x", publicKey: r.secret }).webhooks.unwrap(r.text, { headers: r.headers });
      return true;
    },
  },
  "upstash-qstash": {
    async verify(r) {
      const { Receiver } = await import("@upstash/qstash");
      return new Receiver({ currentSigningKey: r.secret, nextSigningKey: r.secret }).verify({ signature: r.headers["upstash-signature"], body: r.text, url: r.url });
    },
  },
  hookdeck: {
    async verify(r) {
      const { verifyWebhookSignature } = require("@hookdeck/sdk/webhooks/helpers");
      const { isValidSignature } = await verifyWebhookSignature({ headers: r.headers, rawBody: r.text, signingSecret: r.secret, config: { checkSourceVerification: false } });
      return isValidSignature;
    },
  },
  "aws-sns": {
    async verify(r) {
      serveCertificate(r.certificate);
      const MessageValidator = require("sns-validator");
      return new Promise((yes, no) => new MessageValidator().validate(r.text, (err) => (err ? no(err) : yes(true))));
    },
  },
  // jose is nobody's SDK: a neutral judge of tokens.
  netlify: token("x-webhook-signature", (r) => ({ iss: "netlify", sha256: hash(r, "hex") })),
  monday: token("authorization", (r) => ({ aud: r.url, iat: Math.floor(r.now / 1000), exp: Math.floor(r.now / 1000) + 300 })),
};

function gateway(r) {
  const braintree = require("braintree");
  return new braintree.BraintreeGateway({ environment: braintree.Environment.Sandbox, merchantId: "m", publicKey: "configured", privateKey: r.secret });
}

async function mollie() {
  return import("mollie-api-typescript/esm/utils/webhooks/index.js").catch(() => import("mollie-api-typescript"));
}

function pathOf(address) {
  const u = new URL(address);
  return u.pathname + u.search;
}

function hash(r, encoding) {
  return require("node:crypto").createHash("sha256").update(r.body).digest(encoding);
}

// titled gives headers with the capitals that some SDKs insist on.
function titled(headers) {
  return Object.fromEntries(Object.entries(headers).map(([k, v]) => [k.replace(/(^|-)[a-z]/g, (c) => c.toUpperCase()), v]));
}

function token(header, claims) {
  return {
    async sign(r) {
      const { SignJWT } = await import("jose");
      const text = await new SignJWT(claims(r)).setProtectedHeader({ alg: "HS256" }).sign(Buffer.from(r.secret));
      return { headers: { [header]: text } };
    },
    async verify(r) {
      const { jwtVerify } = await import("jose");
      const { payload } = await jwtVerify(r.headers[header].replace(/^Bearer /, ""), Buffer.from(r.secret), { algorithms: ["HS256"] });
      const want = claims(r);
      return Object.keys(want).every((k) => k === "iat" || k === "exp" || payload[k] === want[k]);
    },
  };
}

// serveCertificate makes https.get give a certificate, which the SDK would fetch.
function serveCertificate(pem) {
  const https = require("node:https");
  const { Readable } = require("node:stream");
  https.get = (_url, done) => {
    const answer = Readable.from([Buffer.from(pem)]);
    answer.statusCode = 200;
    done(answer);
    return { on: () => ({ on: () => {} }) };
  };
}

async function answer(line) {
  const r = JSON.parse(line);
  r.body = Buffer.from(r.body, "base64");
  r.text = r.body.toString("utf8");
  const judge = judges[r.provider]?.[r.do];
  if (!judge) return { error: `no judge can ${r.do} for ${r.provider}` };
  if (r.do === "sign") {
    const made = await judge(r);
    return made.body === undefined ? made : { ...made, body: Buffer.from(made.body).toString("base64") };
  }
  try {
    return { ok: (await judge(r)) === true };
  } catch (e) {
    return { ok: false, why: String(e?.message ?? e) };
  }
}

console.log = console.warn = console.info = () => {}; // an SDK must not speak into the protocol
for await (const line of readline.createInterface({ input: process.stdin })) {
  let said;
  try {
    said = await answer(line);
  } catch (e) {
    said = { error: String(e?.stack ?? e) };
  }
  process.stdout.write(JSON.stringify(said) + "\n");
}
