"""A project with much in it, for laws that hold of every project."""

from __future__ import annotations

SEED = """\
name: app
x-common: &common
  restart: unless-stopped
  logging: {driver: json-file, options: {max-size: 1m}}
services:
  web:
    <<: *common
    image: "web:${TAG:-1}"
    command: ["serve", "--port", "80"]
    environment: {A: 1, B: "${A:-x}", C: }
    ports: ["8080:80", {target: 81, published: "82-83"}, "90-91:90-91/udp"]
    volumes: [data:/data, ./conf:/etc/conf:ro, {type: tmpfs, target: /run, tmpfs: {size: 1m, mode: 0755}}]
    depends_on: {db: {condition: service_healthy, restart: true}}
    networks: {front: {aliases: [www]}}
    deploy: {resources: {limits: {cpus: "0.5", memory: 64m}}}
  db:
    extends: {service: base}
    healthcheck: {test: "true", interval: 10s, retries: 3}
    tmpfs: /tmp:size=1m
    ulimits: {nofile: {soft: 1, hard: 2}, nproc: 3}
    networks: [front]
  base: {image: db, cap_add: [NET_ADMIN], devices: ["/dev/a:/dev/b:rw"], extra_hosts: ["a=1.2.3.4"]}
networks: {front: {ipam: {config: [{subnet: 10.0.0.0/24}]}}}
volumes: {data: {driver: local, driver_opts: {type: none, o: bind, device: ./d}}}
"""
