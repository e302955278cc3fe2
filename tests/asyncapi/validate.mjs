// Does the official parser take the document, and do the schemas take its examples?
//   node validate.mjs ASYNCAPI_JSON SCHEMAS_DIR
// Prints one JSON object: the parser's findings, and what the schemas refuse.

import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { Parser } from '@asyncapi/parser';
import Ajv2020 from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';

const [file, directory] = process.argv.slice(2);
const { document, diagnostics } = await new Parser().parse(readFileSync(file, 'utf8'));
const severities = ['error', 'warning', 'info', 'hint'];
const found = diagnostics.map((each) => ({
  severity: severities[each.severity], code: String(each.code), path: each.path.join('.'), message: each.message,
}));

const ajv = addFormats(new Ajv2020({ strict: true, allErrors: true }));
const refused = [];
const messages = document ? document.components().messages().all() : [];
const names = readdirSync(directory).filter((name) => name.endsWith('.json'));
for (const name of names) {
  const validate = ajv.compile(JSON.parse(readFileSync(join(directory, name), 'utf8')));
  const message = messages.find((each) => `${each.id()}.json` === name);
  for (const example of message ? message.examples().all() : []) {
    if (!validate(example.payload())) refused.push({ name, errors: validate.errors });
  }
}
console.log(JSON.stringify({ found, messages: messages.length, schemas: names.length, refused }));
