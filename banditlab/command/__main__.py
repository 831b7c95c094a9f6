"""``python -m banditlab.command``: the console command, where no script is installed."""

from banditlab.command.main import script

if __name__ == "__main__":
    script()
