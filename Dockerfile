# tidings in a container: the binary, the browser files of socket.io-client, and nothing else.
#
#   docker build -t tidings .
#   docker run --rm -p 127.0.0.1:3000:3000 tidings serve --insecure
#
# In a container the gateway listens on all addresses. Nobody has to show who they are yet, so it
# starts only with --insecure: publish the port on loopback, as above, or put something in front
# that decides who may enter.

FROM rust:1-trixie AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked --bin tidings

FROM debian:trixie-slim AS client
RUN apt-get update && apt-get install -y --no-install-recommends npm ca-certificates \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /client
RUN npm install --no-audit --no-fund --ignore-scripts socket.io-client@4

FROM debian:trixie-slim
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin tidings
COPY --from=build /src/target/release/tidings /usr/local/bin/tidings
COPY --from=client /client/node_modules/socket.io-client/dist /usr/share/tidings/socket.io
ENV TIDINGS__WIRE__LISTEN=0.0.0.0:3000 \
    TIDINGS__FACE__SOCKETIO__CLIENT_DIR=/usr/share/tidings/socket.io
USER tidings
EXPOSE 3000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=5s --retries=3 CMD ["tidings", "healthcheck"]
ENTRYPOINT ["tidings"]
CMD ["serve"]
