"""What a family says of a network, and what timm's config.json says."""
import collections

#: The network's name, its native (height, width), and the preprocessing that all published weights
#: of that name want, or None.
Description = collections.namedtuple("Description", ["name", "input_size", "preprocessing"])


class Config(object):
    """What a config.json of timm says; all None where there is none.

    Parameters
    ----------
    path : str, optional
    architecture : str, optional
        As timm names it, without the tag of the weights.
    input_size : tuple of int, optional
    preprocessing : dict, optional
    """

    def __init__(self, path=None, architecture=None, input_size=None, preprocessing=None):
        self.path = path
        self.architecture = architecture
        self.input_size = input_size
        self.preprocessing = preprocessing

    def choose(self, net, family, variants, found):
        """The name of the variant that the tensors have, where `variants` has it.

        Parameters
        ----------
        net : Builder
        family : str
            For messages.
        variants : dict of str to object
            What tells a variant, by its name.
        found : object
            The same of this file.

        Returns
        -------
        str or None
            Refuses an architecture in the config.json that is another one.
        """
        fitting = sorted(name for name in variants if variants[name] == found)
        name = self.architecture
        if name is None:
            return fitting[0] if fitting else None
        if name not in variants:
            net.fail("{} says the architecture '{}', which is not one of those of {} that are read "
                     "({})".format(self.path, name, family, ", ".join(sorted(variants))))
        if name not in fitting:
            net.fail("{} says the architecture '{}', but the tensors are those of {}; is it the "
                     "config.json of other weights?".format(
                         self.path, name, " or ".join(fitting) or "another network of this kind"))
        return name

