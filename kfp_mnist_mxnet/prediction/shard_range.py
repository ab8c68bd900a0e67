"""Which images a shard has."""

from kfp_mnist_mxnet.errors import InvalidInput


def shard_range(num_images: int, shard: int, num_shards: int, batch_size: int) -> tuple[int, int]:
    """Return the first image of a shard and the one after its last.

    Shards begin at whole batches: the last bits of a probability depend on the batch that an
    image is in, and so every image stays in the batch that it has without shards.

    Raises:
        InvalidInput: batch_size or num_shards is out of range, or there is no such shard.
    """
    if batch_size < 1:
        raise InvalidInput(f"batch_size must be at least 1, got {batch_size}")
    if batch_size > 65_536:
        raise InvalidInput(f"batch_size must be at most 65,536, got {batch_size}")
    if num_shards < 1:
        raise InvalidInput(f"num_shards must be at least 1, got {num_shards}")
    if not 0 <= shard < num_shards:
        raise InvalidInput(f"shard must be from 0 to {num_shards - 1}, got {shard}")
    batches = -(-num_images // batch_size)
    start, stop = (batches * i // num_shards * batch_size for i in (shard, shard + 1))
    return min(start, num_images), min(stop, num_images)
