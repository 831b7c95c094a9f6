"""What is folded into a random key beside what is drawn from it: one number for every purpose.

Folding in m encrypts block m of the key's stream, and drawing n words encrypts blocks 0 to n/2. So a key may serve
one draw and further keys if no draw reaches the numbers: draws from one key stay below 2^24 blocks, the heap of a
multinomial folds in fewer than 2^24 numbers, and these are above. Equal numbers here belong to keys that never meet.
"""

# Of a round's key of `banditlab.algorithms`, which draws the labels.
POLICY = 2**31 - 1
DESCENT = 2**31 - 4
# Of the key of a didactic network's weights: the states that it is fitted in.
STATES = 2**31 - 5
# Of the root of `simulate`, whose seeds are the numbers below: settings with random numbers of their own.
SETTINGS = 2**32 - 1
# Of a round's key, a training run's key and a reference's key of `banditlab.llm`.
CHOICE = 2**31 - 1
ORACLE = 2**31 - 1
KL = 2**31 - 2
REFERENCE = 2**31 - 3
