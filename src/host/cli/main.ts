#!/usr/bin/env node
import { runCli } from './run-cli.js';

process.exitCode = await runCli(process.argv.slice(2), {
  out: process.stdout,
  err: process.stderr,
  environment: process.env,
  workingFolder: process.cwd(),
  signals: process,
  exit: (code) => process.exit(code),
});
