import { isUpgrading } from '../behaviour/vm-operations.js';
import { restartHost } from '../behaviour/host-power.js';
import { databaseDump, databaseDuringUpgrade } from '../database/database-dump.js';
import { readDatabase, type DatabaseContent } from '../database/database-reader.js';
import { assertRestorable } from '../database/restore-check.js';
import { type Exchange } from '../http/handler.js';
import { SimulatedFailure } from '../simulated-failure.js';
import { bareHead, refusalHead } from './heads.js';
import { untilHungUp } from './until-hung-up.js';

const PIECE_CHARACTERS = 64 * 1024;

/** GET /pool/xmldbdump: the pool's database (facts 6.1). Only the coordinator has it; others fail in the body. */
export async function handleDatabaseDump(exchange: Exchange): Promise<void> {
  const { pool } = exchange;
  const task = exchange.adoptTask('Dumping database as XML');
  await exchange.writeHead(bareHead());
  if (exchange.host !== pool.coordinator) {
    throw new SimulatedFailure('INTERNAL_ERROR', ['Xapi_database.Db_ref.Database_not_in_memory']);
  }
  if (isUpgrading(pool)) await exchange.write(Buffer.from(databaseDuringUpgrade()));
  else for (const piece of inPieces(databaseDump(pool))) await exchange.write(Buffer.from(piece));
  pool.tasks.succeed(task, '');
}

/**
 * PUT /pool/xmldbdump: takes a dump back (facts 6.2). The head goes out before the body is read, and the task is the
 * verdict; the connection stays open after success, as if another request could follow. Without a Content-Length nothing
 * is done, and the task succeeds all the same.
 *
 * A real restore is noted in `databaseRestores`; after a while the host restarts as the coordinator. Not simulated: the
 * records stay as they are, and so do the other hosts, which a real pool would have lost.
 */
export async function handleDatabaseRestore(exchange: Exchange): Promise<void> {
  const { pool, host, query } = exchange;
  const task = exchange.adoptTask('Reading database as XML');
  if (exchange.contentLength === undefined) {
    await exchange.writeHead(refusalHead('400 Bad Request'));
    pool.tasks.succeed(task, '');
    return;
  }
  await exchange.writeHead(bareHead());
  const pieces: Buffer[] = [];
  for await (const piece of exchange.body) pieces.push(piece);
  const bytes = Buffer.concat(pieces);
  const database = readDatabase(bytes.toString());
  assertRestorable(pool, host, database);
  if (query.get('dry_run') !== 'true') {
    pool.databaseRestores.push({
      atMs: pool.nowMs(),
      host,
      generation: database.generation,
      rowCounts: rowCounts(database),
      sizeBytes: bytes.length,
    });
    pool.later(pool.timings.restoreFuseMs, () => {
      pool.store.patch('pool', pool.poolEntry[0], { master: host });
      restartHost(pool, host);
    });
  }
  pool.tasks.succeed(task, '');
  await untilHungUp(exchange);
}

function rowCounts({ tables }: DatabaseContent): Readonly<Record<string, number>> {
  return Object.fromEntries(
    [...tables].map(([name, rows]) => [name, rows.length] as const).filter(([, count]) => count > 0),
  );
}

function* inPieces(texts: Iterable<string>): Generator<string> {
  let piece = '';
  for (const text of texts) {
    piece += text;
    if (piece.length < PIECE_CHARACTERS) continue;
    yield piece;
    piece = '';
  }
  yield piece;
}
