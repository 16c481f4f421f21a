"""What the tests ask of the backend."""

import json
import os
import urllib.request


def sign_up(email):
    """Signs up a user. A backend that knows the address already answers 409, which raises an error."""
    request = urllib.request.Request(
        os.environ["STACK_API_URL"] + "/api/v1/auth/password/sign-up",
        data=json.dumps({"email": email, "password": "correct horse battery"}).encode(),
        headers={
            "content-type": "application/json",
            "x-stack-access-type": "client",
            "x-stack-project-id": os.environ["STACK_PROJECT_ID"],
            "x-stack-publishable-client-key": os.environ["STACK_PUBLISHABLE_CLIENT_KEY"],
        },
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)
