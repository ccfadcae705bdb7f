#!/usr/bin/env node
import { main } from './cli/main';
import { processIo } from './cli/io';

// `veloz-ha runs | head` closes the pipe: that is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});

void main(process.argv.slice(2), processIo()).then((code) => {
  process.exitCode = code;
  // What is still open, a connection that closes or a query nobody answers, is no reason to stay. Written lines are.
  process.stdout.write('', () => process.stderr.write('', () => process.exit(code)));
});
