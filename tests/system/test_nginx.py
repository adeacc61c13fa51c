"""nginx as the upstream."""

import json

from fanoutd_process import section


def test_static_files(fanoutd, nginx):
    server_text = "location / { types { application/json json; text/plain txt; image/png png; } }"
    web = nginx(server_text)
    rows = json.dumps([{"n": n, "text": "x" * 50} for n in range(5000)])
    (web.root / "rows.json").write_text(rows)
    (web.root / "words.txt").write_text("plain words, café\n")
    (web.root / "picture.png").write_bytes(bytes(range(256)))
    (web.root / "empty.json").write_text("")
    names = ["rows.json", "words.txt", "picture.png", "empty.json", "none.json"]
    server = fanoutd(*[section(name.split(".")[0], f"{web.url}/{name}") for name in names])

    answer = server.get()

    assert answer.outcomes == {
        "rows": "ok",
        "words": "ok",
        "picture": "ok",
        "empty": "ok",
        "none": "http_status",
    }
    assert b'"body":' + rows.encode() in answer.body
    assert answer.result("words")["body"] == "plain words, café\n"
    assert answer.result("picture")["encoding"] == "base64"
    assert answer.result("empty")["body"] is None
    assert answer.result("none")["status"] == 404 and "nginx" in answer.result("none")["body"]


def test_kept_connections_under_load(fanoutd, nginx):
    web = nginx(
        "location / { default_type application/json;"
        ' return 200 \'{"uri":"$uri","c":$connection}\'; }'
    )
    server = fanoutd(
        section("web", web, allow_path=True, timeout="20s"),
        workers=2,
        max_in_flight=6,
        deadline="20s",
    )
    ids = [f"/{n}" for n in range(50)]
    document = {"requests": [{"id": one, "upstream": "web", "path": one} for one in ids]}
    callers = [server.start_post(document) for _ in range(10)]

    connections = set()
    for caller in callers:
        for result in caller.read_answer().results:
            assert result["body"]["uri"] == result["id"]
            connections.add(result["body"]["c"])
    assert len(connections) <= 12


def test_connections_that_nginx_closes_after_some_requests(fanoutd, nginx):
    web = nginx("keepalive_requests 3; location / { return 200 'fine'; }")
    server = fanoutd(section("web", web), workers=1)

    for _ in range(20):
        assert server.get().outcomes == {"web": "ok"}


def test_a_chunked_and_a_compressed_answer(fanoutd, nginx):
    web = nginx(
        "gzip on; gzip_min_length 0; gzip_types application/json;"
        "location / { types { application/json json; } }"
        "location /chunked/ { alias /; ssi on; ssi_types *; default_type application/json; }"
    )
    rows = json.dumps(list(range(3000)))
    (web.root / "rows.json").write_text(rows)
    server = fanoutd(section("rows", f"{web.url}/rows.json"))

    assert b'"body":' + rows.encode() in server.get().body


def test_a_restart_of_nginx_between_two_requests(fanoutd, nginx):
    web = nginx("location / { return 200 'fine'; }")
    server = fanoutd(section("web", web), workers=1)
    assert server.get().outcomes == {"web": "ok"}

    web.stop()

    assert server.get().outcomes == {"web": "connect_refused"}
