# tidings in an image: the binary, the C library that it needs, certificates, the browser files of
# socket.io-client, and nothing else: no shell, no package manager. docs/image.md tells more.
#
#   docker build -t tidings .
#   docker run --rm -p 127.0.0.1:3000:3000 tidings serve --insecure
#
# In a container the gateway listens on all addresses. Nobody has to show who they are unless a
# configuration says so, and without one it starts only with --insecure: publish the port on
# loopback, as above.

FROM rust:1-trixie AS build
WORKDIR /src
# The dependencies alone: this layer is used again until they change.
COPY Cargo.toml Cargo.lock ./
RUN mkdir -p src tests/integration \
    && touch src/lib.rs tests/integration/main.rs \
    && echo 'fn main() {}' > src/main.rs \
    && cargo build --release --locked --lib \
    && rm -rf src tests
COPY . .
RUN touch src/lib.rs src/main.rs \
    && cargo build --release --locked --bin tidings \
    && strip target/release/tidings \
    && ./target/release/tidings man /man

FROM debian:trixie-slim AS files
RUN apt-get update && apt-get install -y --no-install-recommends npm ca-certificates
WORKDIR /client
RUN npm install --no-audit --no-fund --ignore-scripts socket.io-client@4
COPY --from=build /src/target/release/tidings /out/usr/local/bin/tidings
COPY --from=build /man /out/usr/local/share/man/man1
COPY Cargo.lock LICENSE /out/usr/share/doc/tidings/
# What the binary is linked to, where it looks for it, and what scanners read to know the packages.
RUN cp -R node_modules/socket.io-client/dist /out/usr/share/tidings-socket.io \
    && mkdir -p /out/etc/ssl/certs /out/var/lib/dpkg/status.d /out/tmp /out/data \
    && cp /etc/ssl/certs/ca-certificates.crt /out/etc/ssl/certs/ \
    && ldd /out/usr/local/bin/tidings | grep -oE '/[^ ]+' | while read -r library; do \
         mkdir -p "/out$(dirname "$library")" && cp -L "$library" "/out$library"; done \
    && for package in libc6 libgcc-s1 ca-certificates; do \
         dpkg-query --status "$package" > "/out/var/lib/dpkg/status.d/$package"; done \
    && cp /etc/os-release /out/etc/os-release \
    && echo 'tidings:x:10001:10001::/data:/nonexistent' > /out/etc/passwd \
    && echo 'tidings:x:10001:' > /out/etc/group \
    && chmod 1777 /out/tmp && chown 10001:10001 /out/data

FROM scratch
LABEL org.opencontainers.image.title="tidings" \
      org.opencontainers.image.description="A Socket.IO-compatible realtime gateway for the progress of jobs and sessions" \
      org.opencontainers.image.licenses="MIT"
COPY --from=files /out /
ENV PATH=/usr/local/bin \
    TIDINGS__WIRE__LISTEN=0.0.0.0:3000 \
    TIDINGS__FACE__SOCKETIO__CLIENT_DIR=/usr/share/tidings-socket.io
USER 10001:10001
WORKDIR /data
EXPOSE 3000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=5s --retries=3 CMD ["tidings", "healthcheck"]
ENTRYPOINT ["tidings"]
CMD ["serve"]
