/** Signs up a user. A backend that knows the address already answers 409. */
export async function signUp(email: string): Promise<Response> {
  const { STACK_API_URL, STACK_PROJECT_ID, STACK_PUBLISHABLE_CLIENT_KEY } = process.env;
  return fetch(`${STACK_API_URL}/api/v1/auth/password/sign-up`, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      "x-stack-access-type": "client",
      "x-stack-project-id": STACK_PROJECT_ID!,
      "x-stack-publishable-client-key": STACK_PUBLISHABLE_CLIENT_KEY!,
    },
    body: JSON.stringify({ email, password: "correct horse battery" }),
  });
}
