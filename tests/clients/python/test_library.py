"""The library application's own Python client, unchanged but for host and library id, as a program of its own."""

import ast
import os
import pathlib
import subprocess
import sys
from urllib.parse import urlsplit

SOURCE = pathlib.Path(__file__).with_name("library_client.py")


def test_the_client_is_welcomed_answered_and_told(gateway):
    library = gateway.http("POST", "/v1/libraries", {"name": "Papers"})[1]["id"]
    documents = f"/v1/libraries/{library}/documents"
    first = gateway.http("POST", documents, {"title": "AI", "texts": ["AI is a field."]})[1]
    host = urlsplit(gateway.url).netloc
    source = SOURCE.read_text().replace("localhost:8000", host).replace("{library_id}", library)
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
    program = subprocess.Popen([sys.executable, "-u", "-c", source], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, env=environment)
    try:
        welcome = ast.literal_eval(program.stdout.readline())
        assert welcome["message"] == f"Connected to library {library}"
        response = ast.literal_eval(program.stdout.readline())
        assert response["success"] and response["request_id"] == "123"
        assert [hit["id"] for hit in response["data"]["results"]] == [first["id"]]
        gateway.http("POST", documents, {"title": "Test Document", "texts": ["x"]})
        assert program.stdout.readline() == "Event: document.added\n"
    finally:
        program.kill()
        program.communicate()
