"""Signs a user up and in and shows who it is, with PyPI's `requests` and nothing but exported variables. Its argument is
the address of the user."""

import json
import os
import sys

import requests

session = requests.Session()
session.headers.update(
    {
        "x-stack-project-id": os.environ["STACK_PROJECT_ID"],
        "x-stack-access-type": "client",
        "x-stack-publishable-client-key": os.environ["STACK_PUBLISHABLE_CLIENT_KEY"],
    }
)


def ask(method, path, **more):
    answer = session.request(method, os.environ["STACK_API_URL"] + "/api/v1" + path, timeout=60, **more)
    answer.raise_for_status()
    return answer.json()


user = {"email": sys.argv[1], "password": "correct horse battery"}
ask("POST", "/auth/password/sign-up", json=user)
token = ask("POST", "/auth/password/sign-in", json=user)["access_token"]
print(json.dumps(ask("GET", "/users/me", headers={"x-stack-access-token": token})))
