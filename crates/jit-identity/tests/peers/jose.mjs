// Signs what it is told with jose: reads {"wanted": [{name, alg, key, header, payload}]}, answers {"jwks", "tokens"}.
import { readFileSync } from "node:fs";
import { CompactSign, exportJWK, generateKeyPair } from "jose";

const algs = { p256: "ES256", p384: "ES384", ed25519: "EdDSA", rsa: "PS256", svid: "ES256" };
const keys = {}, jwks = { keys: [] };
for (const [name, alg] of Object.entries(algs)) {
  keys[name] = await generateKeyPair(alg, { extractable: true });
  const jwk = await exportJWK(keys[name].publicKey);
  jwks.keys.push({ ...jwk, kid: name, alg, use: name === "svid" ? "jwt-svid" : "sig" });
}
const tokens = {};
for (const { name, alg, key, header, payload } of JSON.parse(readFileSync(0, "utf8")).wanted) {
  const signer = new CompactSign(new TextEncoder().encode(payload)).setProtectedHeader({ alg, ...header });
  tokens[name] = await signer.sign(keys[key].privateKey);
}
process.stdout.write(JSON.stringify({ jwks, tokens }));
