// Comes before the own code of every counted module: a thread that the agent does not watch has nothing to count with.
'use strict';

require('./loading.cjs').idle();
