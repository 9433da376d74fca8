// Checks values against JSON schemas (draft 7) with ajv, which @asyncapi/parser uses. Standard input is a list of objects with schema and
// value; the only argument is the folder of the parser. The exit code is 1 when a value does not fit.
const { createRequire } = require("node:module");
const { readFileSync } = require("node:fs");
const { join } = require("node:path");

const Ajv = createRequire(join(process.argv[2], "package.json"))("ajv");

for (const { schema, value } of JSON.parse(readFileSync(0, "utf8"))) {
  const validate = new Ajv({ strict: false }).compile(schema);
  if (!validate(value)) {
    console.log(JSON.stringify({ value, errors: validate.errors }));
    process.exitCode = 1;
  }
}
