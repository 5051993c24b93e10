"""textpipe.serve.ray_deployment on a local Ray, on the port given by the benchmark."""

import os
import time

import ray
from ray import serve

from textpipe.serve.ray_deployment import Answers

ray.init(num_cpus=os.cpu_count(), include_dashboard=False, log_to_driver=False)
serve.start(http_options={"host": "127.0.0.1", "port": int(os.environ["PORT"])})
serve.run(Answers.options(max_ongoing_requests=256).bind(os.environ["TEXTPIPE_MODEL"]))
while True:
    time.sleep(1)
