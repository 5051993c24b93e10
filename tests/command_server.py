"""textpipe serve in a separate process, for a project of tests/system."""

import contextlib
import subprocess


@contextlib.contextmanager
def server(project, *options):
    """(process, port) of a server of the project's models."""
    command = project.command("serve", "saved_models", "--rest-port", "0", "--grpc-port", "0", *options)
    process = subprocess.Popen(command, cwd=project.folder, stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        if line.startswith("ready: "):
            yield process, int(line.split("REST on 127.0.0.1:")[1].split(",")[0])
            break
    else:
        raise AssertionError("it did not begin")
    process.kill()
    process.wait()
    process.stderr.close()
