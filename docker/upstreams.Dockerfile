# Two servers that know nothing of fanoutd, to be its upstreams in compose.yaml.
ARG DEBIAN=bookworm-slim

FROM debian:${DEBIAN} AS nginx
RUN apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends nginx \
 && apt-get clean && rm -rf /var/lib/apt/lists/*
USER 65532:65532
EXPOSE 8081
ENTRYPOINT ["nginx", "-g", "daemon off;", "-e", "stderr"]

FROM debian:${DEBIAN} AS httpbin
RUN apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    python3-gunicorn python3-httpbin \
 && apt-get clean && rm -rf /var/lib/apt/lists/*
USER 65532:65532
EXPOSE 8082
ENTRYPOINT ["python3", "-m", "gunicorn", "--worker-class", "gthread", "--threads", "16", \
            "--keep-alive", "30", "--bind", "0.0.0.0:8082", "httpbin:app"]
