// Signs a user up and in and shows who it is, with npm's `undici` and nothing but exported variables. Its argument is the
// address of the user.
const { request } = require("undici");

const { STACK_API_URL, STACK_PROJECT_ID, STACK_PUBLISHABLE_CLIENT_KEY } = process.env;

async function ask(method, path, body, headers = {}) {
  const answer = await request(`${STACK_API_URL}/api/v1${path}`, {
    method,
    headers: {
      "x-stack-project-id": STACK_PROJECT_ID,
      "x-stack-access-type": "client",
      "x-stack-publishable-client-key": STACK_PUBLISHABLE_CLIENT_KEY,
      "content-type": "application/json",
      ...headers,
    },
    body: body && JSON.stringify(body),
  });
  const json = await answer.body.json();
  if (answer.statusCode >= 300) throw new Error(`${path}: ${answer.statusCode} ${JSON.stringify(json)}`);
  return json;
}

async function main(email) {
  const user = { email, password: "correct horse battery" };
  await ask("POST", "/auth/password/sign-up", user);
  const { access_token } = await ask("POST", "/auth/password/sign-in", user);
  console.log(JSON.stringify(await ask("GET", "/users/me", undefined, { "x-stack-access-token": access_token })));
}

main(process.argv[2]);
