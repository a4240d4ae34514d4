# A GPU Docker Space, or any server. PyTorch's Linux wheels bring CUDA along, so a slim base is enough;
# without a GPU the same image runs on the processor.
FROM python:3.11-slim

RUN apt-get update \
    && apt-get install --yes --no-install-recommends ffmpeg \
    && rm -rf /var/lib/apt/lists/*

# Spaces run as user 1000. Other servers choose a user of their own in group 0, who has no home and may write where user 1000 may.
RUN useradd --create-home --uid 1000 user \
    && mkdir --parents /home/user/app /home/user/.cache/huggingface \
    && chown --recursive user:0 /home/user \
    && chmod --recursive g=u /home/user
USER user
WORKDIR /home/user/app
ENV HOME=/home/user \
    PATH=/home/user/.local/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    GRADIO_ANALYTICS_ENABLED=False \
    GRADIO_SERVER_NAME=0.0.0.0

COPY --chown=user requirements.lock ./
RUN pip install --no-cache-dir --require-hashes --requirement requirements.lock

COPY --chown=user assets ./assets
COPY --chown=user fashionflow ./fashionflow
COPY --chown=user app.py ./

EXPOSE 7860
HEALTHCHECK --interval=30s --timeout=5s --start-period=120s \
    CMD ["python", "-c", "import os; from urllib.request import *; port = os.environ.get('GRADIO_SERVER_PORT') or os.environ.get('PORT') or 7860; build_opener(ProxyHandler({})).open(f'http://127.0.0.1:{port}/', timeout=4)"]
CMD ["python", "app.py"]
