import json, os, subprocess

def pytest_configure():
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) + 1
    command = ["emulator", "env", "-o", "json", "--instance", f"shard-{number}"]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    os.environ.update(json.loads(answer.stdout)["variables"])
