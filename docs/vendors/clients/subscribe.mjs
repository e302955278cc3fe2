// Read your stream to its end and on, and miss nothing: an example to begin with.
//
//   npm ci
//   node subscribe.mjs --url amqps://broker.group.example:5671/onshi --vendor acme \
//     --ca ca.crt --cert vendor.acme.crt --key vendor.acme.key --private-key acme.private.pem
//
// What was handled stands in a journal, one line for each event, on the disk before the event is acknowledged. After
// whatever happened, reading goes on behind the last line; an event that comes twice is known by its `event_id`.
// A new journal begins at `--from`: `first`, `last`, `next`, an offset, or a time as 2026-05-12T09:00+09:00. So a replay
// is a journal of its own.

import { createPrivateKey } from 'node:crypto';
import { existsSync, fsyncSync, openSync, readFileSync, truncateSync, writeSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import amqp from 'amqplib';
import { compactDecrypt, importJWK } from 'jose';

const PREFETCH = 100;
const PAUSE_MS = 5000;

// Which events were handled, and how far the stream was read. A last line cut short never happened.
class Journal {
  constructor(path) {
    this.nextOffset = null;
    this.known = new Set();
    const content = existsSync(path) ? readFileSync(path) : Buffer.alloc(0);
    const length = content.lastIndexOf(10) + 1;
    for (const line of content.subarray(0, length).toString().split('\n').filter(Boolean)) {
      const entry = JSON.parse(line);
      this.#note(entry.offset, entry.event);
    }
    if (length < content.length) truncateSync(path, length);
    this.file = openSync(path, 'a');
  }

  add(offset, event) {
    writeSync(this.file, JSON.stringify({ offset, event }) + '\n');
    fsyncSync(this.file);
    this.#note(offset, event);
  }

  #note(offset, event) {
    this.nextOffset = offset + 1;
    this.known.add(event.event_id);
  }
}

// Do your own work here. It must be finished, or safe to do again, when this returns.
function handle(event, record) {
  const opened = record ? ` record of ${Object.keys(record.record).length} fields` : '';
  console.log(`${event.at} ${event.type} ${event.clinic} ${event.kind} ${event.handle}${opened}`);
}

// Open the record of an event, where it has one and it is for you.
async function openRecord(event, privateKey) {
  if (!privateKey || !event.record) return null;
  const { plaintext } = await compactDecrypt(event.record, privateKey, {
    keyManagementAlgorithms: ['ECDH-ES+A256KW'],
    contentEncryptionAlgorithms: ['A256GCM'],
  });
  const record = JSON.parse(new TextDecoder().decode(plaintext));
  if (record.handle !== event.handle || record.revision !== event.revision) {
    throw new Error('the record belongs to another event');
  }
  return record;
}

// Read until the connection ends.
async function read(options, journal, privateKey) {
  const tls = options.ca && {
    ca: [readFileSync(options.ca)],
    cert: readFileSync(options.cert),
    key: readFileSync(options.key),
    minVersion: 'TLSv1.3',
    credentials: amqp.credentials.external(),
  };
  const url = new URL(options.url);
  url.searchParams.set('heartbeat', '20');
  const connection = await amqp.connect(url.href, tls || {});
  const ended = new Promise((resolve) => connection.once('close', resolve).on('error', () => {}));
  const channel = await connection.createChannel();
  const failed = new Promise((_, reject) => channel.on('error', reject));
  await channel.prefetch(PREFETCH);

  // One event after the other: the next is taken up when this one is in the journal.
  let turn = Promise.resolve();
  const take = async (message) => {
    const offset = Number(message.properties.headers['x-stream-offset']);
    const event = JSON.parse(message.content.toString());
    // A broker hands out whole chunks: the first events may lie before the offset that was asked for.
    const isBefore = journal.nextOffset !== null && offset < journal.nextOffset;
    if (!isBefore && !journal.known.has(event.event_id)) {
      handle(event, await openRecord(event, privateKey));
      journal.add(offset, event);
    }
    channel.ack(message);
  };
  const broken = new Promise((_, reject) => {
    channel
      .consume(
        `vendor.${options.vendor}`,
        (message) => {
          if (message === null) return reject(new Error('the broker ended the consumer'));
          turn = turn.then(() => take(message)).catch(reject);
        },
        { noAck: false, arguments: { 'x-stream-offset': journal.nextOffset ?? options.from } },
      )
      .catch(reject);
  });
  try {
    await Promise.race([ended, failed, broken]);
  } finally {
    await connection.close().catch(() => {});
  }
}

// Your private half: a JWK, or the PEM that openssl wrote.
async function readKey(path) {
  const content = readFileSync(path, 'utf8');
  return content.startsWith('-----BEGIN') ? createPrivateKey(content) : importJWK(JSON.parse(content), 'ECDH-ES+A256KW');
}

// Where a new journal begins; a time without a zone is that of this machine.
function startOf(text) {
  if (['first', 'last', 'next'].includes(text)) return text;
  if (/^\d+$/.test(text)) return Number(text);
  // A day alone JavaScript would take for one of Greenwich.
  const at = Date.parse(/^\d{4}-\d\d-\d\d$/.test(text) ? `${text}T00:00` : text);
  if (Number.isNaN(at)) throw new Error(`--from ${text}: neither a place in the stream nor a time`);
  return { '!': 'timestamp', value: Math.floor(at / 1000) };
}

const text = { type: 'string' };
const { values: options } = parseArgs({
  options: {
    url: text, vendor: text, journal: { type: 'string', default: 'events.jsonl' },
    from: { type: 'string', default: 'first' }, ca: text, cert: text, key: text, 'private-key': text,
  },
});
const journal = new Journal(options.journal);
options.from = startOf(options.from);
if (journal.nextOffset === null && Number.isInteger(options.from)) journal.nextOffset = options.from;
const privateKey = options['private-key'] ? await readKey(options['private-key']) : null;
const began = { '!': 'timestamp', value: Math.floor(Date.now() / 1000) };
for (;;) {
  try {
    await read(options, journal, privateKey);
  } catch (error) {
    console.error(`away: ${error.code ?? error.name}`);
  }
  // Named anew, these would be later places: what came meanwhile must not be passed over.
  if (['last', 'next'].includes(options.from)) options.from = began;
  await pause(PAUSE_MS);
}
