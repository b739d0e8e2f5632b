"""A function of the computer vision hack's sample notebooks, under the name it has there."""
import numpy as np


def predict_image(classifier, image_array):
    """The class names of images given as pixels.

    Parameters
    ----------
    classifier : TransferClassifier
        Fitted or loaded.
    image_array : ndarray of shape (n, h, w, 3) or (h, w, 3)
        Images of any size. Pixels of type uint8 are from 0 to 255; of another
        type, from 0 to 1 where none is greater than 1, else from 0 to 255.
        A single image may also be grey, (h, w); a fourth channel is transparency.

    Returns
    -------
    list of str
        The class of each image; of length 1 for one image.

    Raises
    ------
    ValueError
        The array has another shape, or values out of range.

    Examples
    --------
    >>> import tempfile
    >>> import gear_transfer as gt
    >>> folder = gt.make_shapes(tempfile.mkdtemp() + "/shapes", per_class=20)
    >>> classifier = gt.TransferClassifier(input_size=96).fit(gt.load_folder(folder))
    >>> img = gt.make_shape("square", 128, random_state=1)
    >>> gt.predict_image(classifier, img.reshape(1, 128, 128, 3))
    ['square']
    """
    images = as_bytes(image_array)
    coloured = images.ndim in (3, 4) and images.shape[-1] in (1, 3, 4)
    if images.ndim == 2 or images.ndim == 3 and coloured:
        images = images[np.newaxis]
    elif not coloured:
        raise ValueError("image_array must have the shape (n, h, w, 3) or (h, w, 3), not {}".format(
            np.shape(image_array)))
    return classifier.predict(list(images)).tolist()


def as_bytes(pixels):
    """Pixels of any numeric type as uint8, 0 to 255; see `predict_image`."""
    pixels = np.asarray(pixels)
    if pixels.dtype == np.uint8:
        return pixels
    if pixels.dtype.kind not in "iuf" or pixels.size == 0:
        raise ValueError("image_array must hold pixels, not {} values of type {}".format(
            pixels.size, pixels.dtype))
    lowest, highest = pixels.min(), pixels.max()
    if not 0 <= lowest <= highest <= 255:
        raise ValueError("image_array must hold pixels from 0 to 1 or from 0 to 255, not from {} "
                         "to {}".format(lowest, highest))
    scale = 255.0 if highest <= 1 and pixels.dtype.kind == "f" else 1.0
    return np.round(pixels * scale).astype(np.uint8)
