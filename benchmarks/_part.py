import sys
from benchmarks.known_behaviour import *

cv2.setNumThreads(1)
half = sys.argv[1]
folder = Path("build/known-behaviour") / half
names = [*places(), *KINDS][int(sys.argv[2]) :: int(sys.argv[3])]
cases = prepared(config_for(folder, "marker 1.00", folder / "pictures"))
for name in names:
    audited(config_for(folder, name, folder / "pictures"), cases)
    print(name, flush=True)
