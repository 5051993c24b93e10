"""The same model on a local Ray (extra `ray`, which is not in the lock file: it is as large as TensorFlow)."""

import gc
import json
import urllib.request

import pytest

ray = pytest.importorskip("ray", reason="needs Ray: pip install 'textpipe[ray]'")

from textpipe.savedmodel.loader import Model

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")  # Ray's own


@pytest.fixture(scope="module")
def address(classifier):
    from ray import serve

    from textpipe.serve.ray_deployment import Answers

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": 18977})
    serve.run(Answers.bind(str(classifier["export"] / "model")))
    yield "http://127.0.0.1:18977/"
    serve.shutdown()
    ray.shutdown()
    gc.collect()  # sockets that Ray leaves open


def post(address, body):
    request = urllib.request.Request(address, json.dumps(body).encode())
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def test_ray_answers_as_the_model_does(address, classifier):
    texts = ["could you send the plan 3", "thank you for the report", ""]
    expected = Model.load(classifier["export"] / "model").predict(texts)
    predictions = post(address, {"instances": texts})["predictions"]
    assert [row["answer"] for row in predictions] == [row["answer"] for row in expected]
    assert [row["score"] for row in predictions] == pytest.approx([row["score"] for row in expected], abs=1e-6)


def test_ray_refuses_a_malformed_request(address):
    with pytest.raises(urllib.error.HTTPError) as error:
        post(address, {"texts": []})
    assert error.value.code == 400
