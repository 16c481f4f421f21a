// Shows as JSON what npm's `dotenv` reads in the file that is its argument.
const { parse } = require("dotenv");
const { readFileSync } = require("fs");

console.log(JSON.stringify(parse(readFileSync(process.argv[2]))));
