// Commands on standard input, one JSON array a line: [id, command, ...arguments]. Each is answered by one JSON line:
// {id, value} or {id, error}. They end when standard input ends.
"use strict";

const readline = require("node:readline");

/** Answers commands until there are no more. */
async function answer(commands) {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const [id, command, ...parameters] = JSON.parse(line);
    const answer = await commands[command](...parameters).then(
      (value) => ({ id, value }),
      (error) => ({ id, error: String(error) }),
    );
    process.stdout.write(`${JSON.stringify(answer)}\n`);
  }
}

module.exports = { answer };
