// Checks the AsyncAPI document on standard input with @asyncapi/parser, which lies in the folder that is the only argument.
// Prints a line for each diagnostic that is more than a hint; the exit code is 1 when there is one.
const { createRequire } = require("node:module");
const { readFileSync } = require("node:fs");
const { join } = require("node:path");

const { Parser } = createRequire(join(process.argv[2], "package.json"))("@asyncapi/parser");

async function main() {
  const { document, diagnostics } = await new Parser().parse(readFileSync(0, "utf8"));
  // 0 is an error, 1 a warning; the one about a newer version of AsyncAPI is none of ours
  const faults = diagnostics.filter((found) => found.severity <= 1 && found.code !== "asyncapi-latest-version");
  for (const found of faults) {
    console.log(`${found.code} at ${found.path.join(".")}: ${found.message}`);
  }
  if (document === undefined || faults.length > 0) {
    process.exitCode = 1;
  }
}

main();
