"""The worker: the only place that knows Faust.

One poll's records of one topic-partition travel through Faust as one message; a step turns them into
effects and makes those durable in a fixed order (`step`). What the records mean is the business of a
`PartitionWork`.
"""
