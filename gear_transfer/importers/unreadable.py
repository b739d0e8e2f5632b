"""Files that are not read: what each of them is, and the line that makes a readable one."""

#: What a file of weights alone needs: the program that built the network.
WEIGHTS_ONLY = ("it holds weights without the network; in the program that builds the network, "
                "model.load_weights(FILE) and then model.save(\"model.keras\") make a readable file")

_TORCH = ("a file of PyTorch, which can only be read by running what is in it; "
          "safetensors.torch.save_file(torch.load(FILE, weights_only=True), \"model.safetensors\") "
          "makes a readable file of the weights of a network known by name, torch.onnx.export(model, "
          "images, \"model.onnx\") one of any network")

_TENSORFLOW = ("a SavedModel of TensorFlow; model.save(\"model.keras\") in the program that built it "
               "makes a readable file")


def what_it_is(head):
    """What a file is by its first bytes, with the line that makes a readable one; None if unknown.

    Parameters
    ----------
    head : bytes
        At least 16 where the file has so many.

    Returns
    -------
    str or None
    """
    if head[:1] == b"\x80" and head[1:2] in b"\x02\x03\x04\x05":
        return _TORCH + " (or a pickle of another program, which is never read)"
    if head[4:8] == b"TFL3":
        return ("a model of TensorFlow Lite; model.save(\"model.keras\") of the model that it was "
                "converted from makes a readable file")
    if head[:8] == b"\x93NUMPY\x01\x00":
        return "an array of NumPy and not a network"
    if head.lstrip()[:1] == b"{":
        return ("a text of JSON and not weights; of a network in several files that it is the index "
                "of, safetensors.torch.save_file(model.state_dict(), \"model.safetensors\") makes one "
                "file")
    if head[:2] == b"\x1f\x8b":
        return "compressed with gzip; unpack it first"
    return None


def what_archive_is(names):
    """What a zip archive that is no ``.keras`` file is by the names of its members.

    Parameters
    ----------
    names : list of str

    Returns
    -------
    str
    """
    parts = set(name.rsplit("/", 1)[-1] for name in names)
    if "data.pkl" in parts:
        return _TORCH
    if "saved_model.pb" in parts or "keras_metadata.pb" in parts:
        return _TENSORFLOW
    if any(name.endswith(".npy") for name in names):
        return "arrays of NumPy and not a network"
    return ("a zip archive, but no model of Keras 3: it has no member 'config.json'; "
            "model.save(\"model.keras\") makes a readable file")
