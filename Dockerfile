# The command line on a CPU. It works in the folder that is mounted at /data, as whoever --user says:
#   docker build -t seqgan .
#   docker run --rm -it --user "$(id -u)" -v "$PWD:/data" seqgan demo
FROM python:3.11-slim

WORKDIR /src
COPY . .
RUN pip install --no-cache-dir --no-deps --extra-index-url https://download.pytorch.org/whl/cpu \
        "torch==$(sed -n 's/^torch==//p' constraints.txt)+cpu" \
    && pip install --no-cache-dir -c constraints.txt .

USER nobody
ENV HOME=/tmp
WORKDIR /data
ENTRYPOINT ["seqgan"]
